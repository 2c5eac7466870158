// A relay for a language model's token stream: counts the tokens, and cuts off after N (?max=N). The
// stream is the one that OpenAI's API and its many kin send: a JSON object an event, then "[DONE]".
// Anything else passes as it is, and no event is added that a client of that API could not read.

function onEvent(event, r, relay) {
  const chunk = parse(event.data);
  const choices = Array.isArray(chunk?.choices) ? chunk.choices : [];
  const tokens = choices.filter((choice) => choice?.delta?.content).length;
  relay.state.tokens = (relay.state.tokens ?? 0) + tokens;
  if (tokens > 0 && relay.state.tokens >= Number(r.args.max)) {
    relay.end();
    // As the API itself says that max_tokens cut an answer off: so that a client can tell.
    chunk.choices = choices.map((choice) => ({ ...choice, finish_reason: 'length' }));
    return [{ ...event, data: JSON.stringify(chunk) }, { data: '[DONE]' }];
  }
  return event;
}

// Called once, however the stream ends: a client that leaves early has its tokens counted, too.
function onEnd(r, relay, reason) {
  r.log(`tokens: ${relay.state.tokens ?? 0} (${reason})`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // "[DONE]", an empty heartbeat, an error in words
  }
}

export default { onEvent, onEnd };
