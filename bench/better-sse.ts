/** The same service with better-sse on Node.js: GET /events/<channel>, POST /publish/<channel>. */
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Channel, createChannel, createSession } from 'better-sse';

const channels = new Map<string, Channel>();

const server = createServer((request, response) => {
  const [, role, name] = request.url!.split('/');
  const channel = channelOf(name!);
  if (role === 'events') {
    subscribe(request, response, channel);
  } else {
    publish(request, response, channel);
  }
});
server.keepAliveTimeout = 3600000;
server.listen(8080, '127.0.0.1', 4096, () => writeFileSync(process.argv[2]!, String(process.pid)));

async function subscribe(
  request: IncomingMessage,
  response: ServerResponse,
  channel: Channel,
): Promise<void> {
  // As njs-sse: text and not JSON, and a heartbeat every 45 s.
  const session = await createSession(request, response, { serializer: String, keepAlive: 45000 });
  channel.register(session);
}

function publish(request: IncomingMessage, response: ServerResponse, channel: Channel): void {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (text) => {
    body += text;
  });
  request.on('end', () => {
    channel.broadcast(body);
    response.writeHead(201, { 'Content-Length': 0 }).end();
  });
}

function channelOf(name: string): Channel {
  const known = channels.get(name);
  if (known) {
    return known;
  }
  const channel = createChannel();
  channels.set(name, channel);
  return channel;
}
