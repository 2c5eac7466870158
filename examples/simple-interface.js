// lua-resty-sse's synopsis, line by line, in JavaScript: GET /simpleinterface
import SSE from 'sse/client.js';

async function simpleInterface(r) {
  r.status = 200;
  r.headersOut['Content-Type'] = 'text/plain';
  r.sendHeader();
  const say = (...words) => r.send(`${words.join('')}\n`);

  const headers = {
    'X-Some-Header-Field': 'foobar',
  };
  const sse = new SSE(r.variables.some_pub_sub_server, { headers }); // headers are optional
  // never fails, always returns a new SSE object

  // explicitly calling connect() is optional: SSE connects as needed
  const ok = await sse.connect();
  if (!ok) {
    say('SSE failed: ', sse.error);
    return r.finish();
  }

  // message processing loop
  try {
    for await (const event of sse.events()) {
      say('SSE id:', event.id);
      say('SSE event-type:', event.type);
      say('SSE data:', event.data);
    }
  } catch {
    // nothing can be sent: the client has left
    return sse.close();
  }

  // why did we exit the message processing loop?
  if (sse.error) {
    say('SSE error:', sse.error);
  }
  r.finish();
}

export default { simpleInterface };
