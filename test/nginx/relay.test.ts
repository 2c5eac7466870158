import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, send } from './client.ts';
import { type Nginx, startNginx } from './nginx.ts';
import { type SseServer, startSseServer, startStream } from './sse-server.ts';

const RELAY = `
function onEvent(event, r, relay) {
    switch (event.type) {
    case 'drop':
        return null;
    case 'twice':
        return [event, { id: 'copy', type: 'copy', data: event.data.toUpperCase() }];
    case 'last':
        relay.end();
        return event;
    case 'throw':
        throw new Error('as it was told');
    case 'inject':
        return { type: 'x\\ndata: injected', data: '' };
    default:
        relay.state.count = (relay.state.count ?? 0) + 1;
        return Object.assign(event, { data: relay.state.count + ' ' + event.data });
    }
}
export default { onEvent };
`;

describe('relay', () => {
  let nginx: Nginx;
  let upstream: SseServer;

  beforeAll(async () => {
    upstream = await startSseServer();
    const location = (path: string, module: string) => `location ${path} {
      js_import relay from ${module};
      set $sse_max_event 4k;
      include sse/relay.conf;
      proxy_pass http://${upstream.address};
    }`;
    nginx = await startNginx({
      server: location('/mine', '/etc/nginx/relay.js') + location('/tokens', 'examples/tokens.js'),
      files: { '/etc/nginx/relay.js': RELAY },
    });
  });
  afterAll(async () => {
    await upstream.close();
    await nginx.stop(
      /sse: relay: as it was told/,
      /sse: relay: an id or an event type cannot have NUL, CR or LF/,
      /sse: relay: the event stream has a longer line/,
      /prematurely closed/,
    );
  });

  /** Opens a relay and gives both of its ends. */
  async function start(path: string) {
    const before = upstream.connections.length;
    const stream = await open(nginx, path);
    const { response, headers } = upstream.connections[before]!;
    return {
      stream,
      headers,
      write: (bytes: string | Buffer) => response.write(bytes),
      end: () => response.end(),
    };
  }

  test('sends what the function returns, each event with the chunk that completes it', async () => {
    const { stream, write, end } = await start('/mine');
    write('id: 1\ndata: a\n\nevent: drop\ndata: b\n\nretry: 7\n\ndata: c');
    await stream.until(({ text }) => text === 'id: 1\ndata: 1 a\n\nretry: 7\n\n');
    write('\n\nevent: twice\ndata: d\n\n');
    await stream.untilEvents(4);
    write(': heartbeat\n\n');
    await stream.until(({ text }) => text.endsWith(': heartbeat\n\n'));
    end();
    await stream.until(({ ended }) => ended);
    expect(stream.text).toBe(
      'id: 1\ndata: 1 a\n\nretry: 7\n\ndata: 2 c\n\nevent: twice\ndata: d\n\nid: copy\nevent: copy\ndata: D\n\n: heartbeat\n\n',
    );
  });

  test('passes on what blocks without data do: a reconnection time, an id to resume from', async () => {
    const { stream, write, end } = await start('/mine');
    write('retry: 2000\n\nid: e-5\n\ndata: x\n\n');
    await stream.untilEvents(1);
    write('id: e-6\n\n');
    await stream.until(({ text }) => text.endsWith('id: e-6\n\n'));
    expect(stream.text).toBe('retry: 2000\n\nid: e-5\n\ndata: 1 x\n\nid: e-6\n\n');
    end();
  });

  test('puts comments and blocks without data in their place among the events', async () => {
    const { stream, write, end } = await start('/mine');
    write(':a\n: b\ndata: x\n\nid: e-5\nretry: 9\n\ndata: y\n: c\n\nevent: none\n\nid\n\n:d\n');
    await stream.until(({ text }) => text.endsWith(':d\n\n'));
    expect(stream.text).toBe(
      ':a\n\n: b\n\ndata: 1 x\n\nid: e-5\nretry: 9\n\n: c\n\ndata: 2 y\n\nid: \n\n:d\n\n',
    );
    end();
  });

  test('sends what came before a mistake, and no lines that a function smuggles in', async () => {
    for (const bad of ['throw', 'inject']) {
      const { stream, write } = await start('/mine');
      write(`data: a\n\nevent: ${bad}\ndata: x\n\ndata: never\n\n`);
      await stream.until(({ ended }) => ended);
      expect(stream.text).toBe('data: 1 a\n\n');
    }
  });

  test('survives characters and line ends that are cut between two chunks', async () => {
    const { stream, write, end } = await start('/mine');
    const bytes = Buffer.from('data: Grüße ☃ 🎉\r\ndata: zwei\r\n\r\ndata: x\r\r');
    for (const byte of bytes) {
      write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await stream.untilEvents(2);
    expect(stream.events.map(({ data }) => data)).toEqual(['1 Grüße ☃ 🎉\nzwei', '2 x']);
    end();
  });

  test('can end the response, and then the upstream is left', async () => {
    const { stream, write } = await start('/mine');
    write('data: a\n\nevent: last\ndata: b\n\ndata: never\n\n');
    await stream.until(({ ended }) => ended);
    expect(stream.events.map(({ data }) => data)).toEqual(['1 a', 'b']);
    expect(stream.headers.connection).toBe('close');
    await eventually(
      async () => upstream.open().length,
      (count) => count === 0,
    );
  });

  test('ends when the function throws, or the upstream exceeds the limit, and says so', async () => {
    for (const bad of ['event: throw\ndata: x\n\n', `data: ${'x'.repeat(5000)}\n\n`]) {
      const { stream, write } = await start('/mine');
      write('data: a\n\n');
      await stream.untilEvents(1);
      write(bad);
      await stream.until(({ ended }) => ended);
      expect(stream.events).toHaveLength(1);
    }
  });

  test('passes the request to the upstream, uncompressed, and an answer that is no event stream to the client', async () => {
    upstream.answer = ({ response }) =>
      response.writeHead(429, { 'Content-Type': 'application/json' }).end('{"slow":"down"}');
    const answer = await send(nginx, '/mine?a=1', {
      method: 'POST',
      body: '{}',
      headers: { authorization: 'x' },
    });
    expect([answer.status, answer.text]).toEqual([429, '{"slow":"down"}']);
    expect(upstream.connections.at(-1)).toMatchObject({ path: '/mine?a=1', headers: { authorization: 'x' } });
    expect(upstream.connections.at(-1)!.headers['accept-encoding']).toBeUndefined();
    upstream.answer = startStream;
  });

  test("waits longer for the upstream than nginx's 60 seconds", () => {
    expect(readFileSync('nginx/sse/relay.conf', 'utf8')).toMatch(/^proxy_read_timeout 10m;/m);
  });

  describe('the token stream of the examples', () => {
    const token = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;

    test('is counted', async () => {
      const { stream, write } = await start('/tokens?max=100');
      write(token('Hel') + token('lo'));
      await stream.untilEvents(2);
      write('data: [DONE]\n\n');
      await stream.until(({ ended }) => ended);
      expect(stream.events.slice(2)).toMatchObject([
        { event: 'usage', data: '{"tokens":2,"cutOff":false}' },
        { data: '[DONE]' },
      ]);
    });

    test('is cut off after N', async () => {
      const { stream, write } = await start('/tokens?max=3');
      write(['a', 'b', 'c', 'd', 'e'].map(token).join(''));
      await stream.until(({ ended }) => ended);
      expect(stream.events.map(({ data }) => data)).toEqual([
        ...['a', 'b', 'c'].map((content) => JSON.stringify({ choices: [{ delta: { content } }] })),
        '{"tokens":3,"cutOff":true}',
        '[DONE]',
      ]);
      await eventually(
        async () => upstream.open().length,
        (count) => count === 0,
      );
    });
  });
});
