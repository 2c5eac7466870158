// A relay for a language model's token stream: counts the tokens, cuts off after N (?max=N), and adds a final event
// with the count. The stream is the one that OpenAI's API and its many kin send: JSON events, then "[DONE]".

function onEvent(event, r, relay) {
  if (event.data === '[DONE]') {
    relay.end();
    return null;
  }
  const token = JSON.parse(event.data).choices?.[0]?.delta?.content;
  if (token) {
    relay.state.tokens = (relay.state.tokens ?? 0) + 1;
  }
  if (relay.state.tokens >= Number(r.args.max)) {
    relay.state.cutOff = true;
    relay.end();
  }
  return event;
}

function onEnd(r, relay) {
  const { tokens = 0, cutOff = false } = relay.state;
  r.log(`tokens: ${tokens}`);
  return [{ type: 'usage', data: JSON.stringify({ tokens, cutOff }) }, { data: '[DONE]' }];
}

export default { onEvent, onEnd };
