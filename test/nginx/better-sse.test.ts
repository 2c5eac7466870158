import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createSession, type Session } from 'better-sse';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeCertificate } from './certificate.ts';
import { eventually, open, send } from './client.ts';
import { type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { bridgeAddress, listen } from './sse-server.ts';

/** Beside the quotes of JSON, the largest data that $sse_max_event lets through. */
const MEGABYTE = 1048576;

const sessions: Record<string, Session[]> = { plain: [], secure: [] };
const servers: Server[] = [];
const CLIENT = `
import SSE from 'sse/client.js';
async function first(r) {
    const sse = new SSE(r.args.url);
    const event = await sse.next();
    r.return(200, JSON.stringify(event ?? sse.error));
}
export default { first };
`;
let nginx: Nginx;
let securePort: number;

beforeAll(async () => {
  const { key, cert } = makeCertificate('sse.example');
  const plain = createHttp(accept('plain'));
  const secure = createHttps({ key, cert }, accept('secure'));
  servers.push(plain, secure as unknown as Server);
  const [plainPort, port] = await Promise.all(servers.map((server) => listen(server)));
  securePort = port!;
  nginx = await startNginx({
    server: `${PUBLISH_AND_SUBSCRIBE}
      location = /first { js_import client from /etc/nginx/client.js; js_content client.first; }`,
    files: { '/etc/nginx/ca.pem': cert, '/etc/nginx/client.js': CLIENT },
    http: `
      server {
        include sse/inner.conf;
        include sse/client.conf;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate /etc/nginx/ca.pem;
        proxy_ssl_name sse.example;
      }
      server {
        include sse/inner.conf;
        server_name plain;
        location / { proxy_pass http://${bridgeAddress()}:${plainPort}; include sse/upstream.conf; }
      }
      server {
        include sse/inner.conf;
        server_name secure;
        location / {
          proxy_pass https://${bridgeAddress()}:${securePort};
          proxy_ssl_verify on;
          proxy_ssl_trusted_certificate /etc/nginx/ca.pem;
          proxy_ssl_name sse.example;
          include sse/upstream.conf;
        }
      }`,
  });
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await nginx.stop(/prematurely closed connection/, /Connection refused/, /sse: upstream of "/);
});

test.each(['plain', 'secure'])('follows a %s better-sse server', async (channel) => {
  await eventually(
    async () => sessions[channel]!.length,
    (count) => count === 1,
  );
  const stream = await open(nginx, `/events/${channel}`);
  const large = 'x'.repeat(MEGABYTE - 2);
  sessions[channel]![0]!.push({ price: 1 }, 'price', 'a');
  sessions[channel]![0]!.push('zwei\nZeilen ☃', 'message', 'b');
  sessions[channel]![0]!.push(large, 'message', 'c');
  await stream.untilEvents(3);
  expect(stream.events).toEqual([
    { id: 'a', event: 'price', data: '{"price":1}' },
    { id: 'b', event: 'message', data: '"zwei\\nZeilen ☃"' },
    { id: 'c', event: 'message', data: JSON.stringify(large) },
  ]);
  stream.leave();
});

test('a client of a handler reads a better-sse server over TLS, and refuses it in plain text', async () => {
  const before = sessions.secure!.length;
  const answer = send(nginx, `/first?url=https://${bridgeAddress()}:${securePort}/`);
  await eventually(
    async () => sessions.secure!.length,
    (length) => length === before + 1,
  );
  sessions.secure![before]!.push('hello', 'greeting', 'g1');
  expect(JSON.parse((await answer).text)).toEqual({ id: 'g1', type: 'greeting', data: '"hello"' });
  const refused = await send(nginx, `/first?url=http://${bridgeAddress()}:${securePort}/`);
  expect(JSON.parse(refused.text)).toBe('cannot be reached');
});

function accept(name: string): RequestListener {
  return async (request, response) => {
    sessions[name]!.push(await createSession(request, response));
  };
}
