import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, send } from './client.ts';
import { type Nginx, startNginx } from './nginx.ts';
import { type Connection, type SseServer, startSseServer, startStream } from './sse-server.ts';

/** Handlers of a user's own. What they find goes to the client as lines of JSON. */
const HANDLERS = `
import SSE from 'sse/client.js';

async function run(r, use) {
    r.headersOut['Content-Type'] = 'text/plain';
    r.sendHeader();
    const say = (value) => r.send(JSON.stringify(value) + '\\n');
    const options = JSON.parse(r.args.options ?? '{}');
    await use(new SSE(r.args.url, options), say, r);
    r.finish();
}
const error = (sse) => ({ error: sse.error ?? null });

const events = (r) => run(r, async (sse, say) => {
    for await (const event of sse.events()) {
        say(event);
    }
    say(error(sse));
});
const connect = (r) => run(r, async (sse, say) => {
    say(await sse.connect());
    say(await sse.connect());
    say(error(sse));
});
const take = (r) => run(r, async (sse, say) => {
    for (let i = 0; i < Number(r.args.count); i++) {
        const event = await sse.next();
        say([event.event, event.data]);
    }
    sse.close();
    say(error(sse));
});
const closing = (r) => run(r, async (sse, say) => {
    for await (const event of sse.events()) {
        say(event.data);
        if (event.data === 'last') {
            sse.close();
        }
    }
    say(error(sse));
});
const sleepy = (r) => run(r, async (sse, say) => {
    say(await sse.connect());
    while ((await (await ngx.fetch('http://127.0.0.1:8080/awake')).text()) !== 'yes') {
    }
    let count = 0;
    while (await sse.next()) {
        count++;
    }
    say(count);
    say(error(sse));
});
const awake = (r) => r.return(200, ngx.shared.sse_log.get('awake') ?? 'no');
const wake = (r) => {
    ngx.shared.sse_log.set('awake', 'yes');
    r.return(204);
};
const leaving = (r) => run(r, async (sse, say) => {
    const next = sse.next();
    while (sse.error === undefined) {
        await ngx.fetch('http://127.0.0.1:8080/awake');
    }
    say(error(sse));
    sse.close();
    say(await next ?? null);
    say(error(sse));
});
const both = (r) => run(r, async (sse, say) => {
    const other = new SSE(r.args.other);
    say([(await sse.next()).data, (await other.next()).data]);
    await sse.next();
});
export default { events, connect, take, closing, sleepy, awake, wake, leaving, both };
`;
const NAMES = ['events', 'connect', 'take', 'closing', 'sleepy', 'awake', 'wake', 'leaving', 'both'];

describe('the client for handlers', () => {
  let nginx: Nginx;
  let server: SseServer;
  let url: string;

  beforeAll(async () => {
    server = await startSseServer();
    url = `http://${server.address}`;
    nginx = await startNginx({
      http: 'server { include sse/inner.conf; include sse/client.conf; }',
      server: `
        js_fetch_timeout 30s;
        js_import simple from examples/simple-interface.js;
        js_import handlers from /etc/nginx/handlers.js;
        location / { return 404; }
        location = /simpleinterface {
          include sse/stream.conf;
          set $some_pub_sub_server ${url}/subscriber;
          js_content simple.simpleInterface;
        }
        ${NAMES.map((name) => `location = /${name} { include sse/stream.conf; js_content handlers.${name}; }`).join('\n')}`,
      files: { '/etc/nginx/handlers.js': HANDLERS },
    });
  });
  afterAll(async () => {
    await server.close();
    await nginx.stop(/Connection refused/, /prematurely closed connection/);
  });

  const ask = (handler: string, target: string, options: object = {}, more = '') =>
    open(
      nginx,
      `/${handler}?url=${encodeURIComponent(target)}&options=${encodeURIComponent(JSON.stringify(options))}${more}`,
    );
  /** Opens a handler, and waits until its connection has arrived at the server. */
  async function start(handler: string, options: object = {}, more = '') {
    const before = server.connections.length;
    const stream = await ask(handler, `${url}/${handler}`, options, more);
    const connection = await connectionAt(before);
    return { stream, connection, response: connection.response };
  }
  async function connectionAt(index: number): Promise<Connection> {
    await eventually(
      async () => server.connections.length,
      (length) => length > index,
    );
    return server.connections[index]!;
  }
  const lines = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  test("runs lua-resty-sse's synopsis", async () => {
    const stream = await open(nginx, '/simpleinterface');
    const { response, path, headers } = await connectionAt(0);
    response.write('id: 1\nevent: hello\ndata: zwei ☃\ndata: Zeilen\n\ndata: x\n\n');
    await stream.until(({ text }) => text.includes('data:x'));
    expect(stream.status).toBe(200);
    response.end();
    await stream.until(({ ended }) => ended);
    expect(stream.text).toBe(
      'SSE id:1\nSSE event-type:hello\nSSE data:zwei ☃\nZeilen\n' +
        'SSE id:1\nSSE event-type:message\nSSE data:x\nSSE error:closed\n',
    );
    expect(path).toBe('/subscriber');
    expect(headers).toEqual({
      host: server.address,
      accept: 'text/event-stream',
      'cache-control': 'no-cache',
      'user-agent': 'nginx-js',
      'x-some-header-field': 'foobar',
    });
  });

  test('the synopsis ends where its client has left, and that is no error', async () => {
    const before = server.connections.length;
    const stream = await open(nginx, '/simpleinterface');
    const { response } = await connectionAt(before);
    stream.leave();
    // nginx sees that one has left when it reads its end, or writes to it.
    const timer = setInterval(() => response.write('data: x\n\n'), 20);
    await new Promise((resolve) => response.once('close', resolve));
    clearInterval(timer);
  });

  test('follows the standard where lua-resty-sse does not', async () => {
    const { stream, response } = await start('events');
    for (const byte of Buffer.from(
      '\ufeff:comment\rid:a\rdata:no space\r\r\r\nretry: 70\r\nevent:e\r\ndata\r\n\r\n',
    )) {
      response.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await stream.until(({ text }) => text.split('\n').length > 2);
    response.end();
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([
      { id: 'a', type: 'message', data: 'no space' },
      { id: 'a', type: 'e', data: '', retry: 70 },
      { error: 'closed' },
    ]);
  });

  test.each([
    ['a status', { status: 503 }, 'bad response status code: 503'],
    ['204', { status: 204 }, 'bad response status code: 204'],
    ['a status in the two hundreds', { status: 201 }, 'bad response status code: 201'],
    ['a type', { status: 200, type: 'text/html' }, 'Content-Type not text/event-stream (text/html)'],
    ['no type', { status: 200, type: '' }, 'Content-Type missing in response'],
  ])('refuses %s', async (_, answer: { status: number; type?: string }, error) => {
    const { status, type = 'text/event-stream' } = answer;
    server.answer = ({ response }) => response.writeHead(status, type ? { 'Content-Type': type } : {}).end();
    const stream = await ask('connect', url);
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([false, false, { error }]);
    server.answer = startStream;
  });

  test('leaves a server whose endless answer is no event stream', async () => {
    server.answer = ({ response }) => response.writeHead(200, { 'Content-Type': 'audio/mpeg' }).write('x');
    const stream = await ask('connect', `${url}/radio`);
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text).at(-1)).toEqual({ error: 'Content-Type not text/event-stream (audio/mpeg)' });
    await eventually(
      async () => server.connections.filter(({ path, closed }) => path === '/radio' && !closed),
      (left) => left.length === 0,
    );
    server.answer = startStream;
  });

  test.each([
    ['ftp://example.com/', 'not an http or https URL: ftp://example.com/'],
    ['http://user:secret@example.com/', 'not an http or https URL: http://user:secret@example.com/'],
    ['http://127.0.0.1:1/\r\nX: y', 'not an http or https URL: http://127.0.0.1:1/\r\nX: y'],
    ['http://127.0.0.1:1', 'cannot be reached'],
  ])('says what is wrong with %j', async (bad, error) => {
    const stream = await ask('connect', bad);
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([false, false, { error }]);
  });

  test('gives up a server that does not answer within connectTimeout', async () => {
    server.answer = () => {};
    const stream = await ask('connect', url, { connectTimeout: 100 });
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text).at(-1)).toEqual({ error: 'connect timeout' });
    server.answer = startStream;
    for (const { response } of server.open()) {
      response.destroy();
    }
  });

  test('gives up a server that is silent for readlineTimeout', async () => {
    const { stream, response } = await start('events', { readlineTimeout: 300 });
    response.write('data: x\n\n');
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([{ id: '', type: 'message', data: 'x' }, { error: 'read timeout' }]);
    response.end();
  });

  test('connects once, closes, and leaves the server at its next byte', async () => {
    const { stream, connection, response } = await start('take', {}, '&count=2');
    response.write('data: a\n\nevent: b\ndata: b\n\ndata: never\n\n');
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([['message', 'a'], ['b', 'b'], { error: null }]);
    response.write(':\n');
    await eventually(
      async () => connection.closed,
      (closed) => closed,
    );
  });

  test('close() in a loop over the events ends the loop', async () => {
    const { stream, response } = await start('closing');
    response.write('data: first\n\ndata: last\n\ndata: never\n\n');
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual(['first', 'last', { error: null }]);
    response.end();
  });

  test('closes when the request of its handler ends, whatever ended it', async () => {
    const before = server.connections.length;
    const stream = await ask('both', `${url}/one`, {}, `&other=${encodeURIComponent(`${url}/two`)}`);
    const one = await connectionAt(before);
    one.response.write('data: 1\n\n');
    const two = await connectionAt(before + 1);
    two.response.write('data: 2\n\n');
    await stream.until(({ text }) => text === '["1","2"]\n');
    one.response.write('data: the end of the handler\n\n');
    await stream.until(({ ended }) => ended);
    await eventually(
      async () => {
        server.write(':\n');
        return [one.closed, two.closed];
      },
      (closed) => closed.every(Boolean),
    );
  });

  test('follows redirects, and gives headers to the server they are meant for only', async () => {
    const other = await startSseServer();
    const answers: Record<string, string> = {
      '/events': '/b?c=%20d',
      '/b?c=%20d': `http://${other.address}/there`,
    };
    server.answer = (connection) =>
      connection.response.writeHead(302, { Location: answers[connection.path]! }).end();
    const before = server.connections.length;
    const stream = await ask('events', `${url}/events`, { headers: { Authorization: 'secret' } });
    await eventually(
      async () => other.open().length,
      (length) => length === 1,
    );
    other.write('data: there\n\n');
    await stream.until(({ text }) => text.includes('there'));
    const hops = [...server.connections.slice(before), ...other.connections];
    expect(hops.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      ['/events', 'secret'],
      ['/b?c=%20d', 'secret'],
      ['/there', undefined],
    ]);
    server.answer = startStream;
    await other.close();
    await stream.until(({ ended }) => ended);
  });

  test('reconnects if asked to, after retry, with the Last-Event-ID', async () => {
    const before = server.connections.length;
    const { stream, response } = await start('events', { reconnect: true });
    response.write('retry: 30\nid: ünö\ndata: 1\n\nid: 2\n\n');
    await stream.until(({ text }) => text.includes('"1"'));
    server.answer = ({ response }) => response.writeHead(500).end();
    response.end();
    await connectionAt(before + 1);
    server.answer = startStream;
    await eventually(
      async () => server.open().length,
      (length) => length === 1,
    );
    const last = server.connections.at(-1)!;
    expect(last.headers['last-event-id']).toBe('2');
    last.response.write('data: 3\n\n');
    await stream.until(({ text }) => text.includes('"3"'));
    server.answer = ({ response }) => response.writeHead(204).end();
    last.response.end();
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([
      { id: 'ünö', type: 'message', data: '1', retry: 30 },
      { id: '2', type: 'message', data: '3' },
      { error: 'bad response status code: 204' },
    ]);
    server.answer = startStream;
  });

  test('what was taken before an error is not asked for again', async () => {
    const before = server.connections.length;
    const { stream, response } = await start('events', { reconnect: true });
    response.write(`retry: 20\nid: 1\ndata: 1\n\ndata: ${'x'.repeat(1100000)}`);
    await connectionAt(before + 1);
    expect(server.connections.at(-1)!.headers['last-event-id']).toBe('1');
    stream.leave();
    server.write('data: x\n\n');
  });

  test('an id that no header can carry does not keep it from coming back', async () => {
    const before = server.connections.length;
    const { stream, response } = await start('events', { reconnect: true });
    response.write('retry: 20\nid: \x01\ndata: 1\n\n');
    await stream.until(({ text }) => text.includes('"1"'));
    response.end();
    await connectionAt(before + 1);
    expect(server.connections.at(-1)!.headers['last-event-id']).toBeUndefined();
    stream.leave();
    server.write('data: x\n\n');
  });

  test('close() while it waits to connect again ends that', async () => {
    server.answer = ({ response }) => {
      startStream({ response } as Connection);
      response.end('retry: 1000000\n\n');
    };
    const before = server.connections.length;
    const stream = await ask('leaving', url, { reconnect: true });
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([{ error: 'closed' }, null, { error: null }]);
    expect(server.connections).toHaveLength(before + 1);
    server.answer = startStream;
  });

  test('events over the limit, or not taken, end the connection and not nginx', async () => {
    const { stream, response } = await start('events');
    response.write(`data: good\n\ndata: ${'x'.repeat(1100000)}`);
    await stream.until(({ ended }) => ended);
    expect(lines(stream.text)).toEqual([
      { id: '', type: 'message', data: 'good' },
      { error: 'the event stream has a longer line than 1048592' },
    ]);

    const sleepy = await start('sleepy');
    const event = `data: ${'y'.repeat(500000)}\n\n`;
    const flood = setInterval(() => sleepy.response.write(event), 5);
    await eventually(
      async () => sleepy.connection.closed,
      (closed) => closed,
    );
    clearInterval(flood);
    await send(nginx, '/wake');
    await sleepy.stream.until(({ ended }) => ended);
    const [connected, count, end] = lines(sleepy.stream.text);
    expect(connected).toBe(true);
    expect(count).toBeGreaterThan(8);
    expect(end).toEqual({ error: 'the handler takes its events too slowly' });
  });

  test('nobody else can open a connection', async () => {
    const before = server.connections.length;
    const attempt = (path: string, key: string) =>
      nginx.sh(
        `curl -s -o /dev/null -w '%{http_code}' -H 'Host: sse-client' -H 'X-SSE-URL: ${url}/' ${key} -d '{"inbox":"x","url":"${url}/","headers":{}}' http://127.0.0.1:8129${path}`,
      );
    for (const path of ['/.sse-connect', '/.sse-client']) {
      for (const key of ['', "-H 'X-SSE-Client-Key;'", "-H 'X-SSE-Client-Key: guess'"]) {
        expect(await attempt(path, key)).toBe('403');
      }
      const outside = await send(nginx, path, { headers: { host: 'sse-client', 'X-SSE-URL': `${url}/` } });
      expect(outside.status).toBe(404);
    }
    expect(server.connections).toHaveLength(before);
  });
});

test('quit ends handlers that wait, and their connections with the next byte', async () => {
  const server = await startSseServer();
  const nginx = await startNginx({
    http: 'server { include sse/inner.conf; include sse/client.conf; }',
    server: `postpone_output 0; js_import handlers from /etc/nginx/handlers.js;
      location = /events { js_content handlers.events; }`,
    files: { '/etc/nginx/handlers.js': HANDLERS },
  });
  const options = encodeURIComponent(JSON.stringify({ reconnect: true }));
  const path = (name: string) =>
    `/events?url=${encodeURIComponent(`http://${server.address}/${name}`)}&options=${options}`;
  const [busy, silent] = await Promise.all([open(nginx, path('busy')), open(nginx, path('silent'))]);
  const find = (name: string) => server.connections.find((connection) => connection.path === `/${name}`);
  await eventually(
    async () => server.open().length,
    (count) => count === 2,
  );
  await nginx.sh('kill -QUIT 1');
  await silent.until(({ ended }) => ended);
  expect(silent.text).toBe('{"error":"nginx is shutting down"}\n');
  const beat = setInterval(() => server.write(':\n'), 20);
  await busy.until(({ ended }) => ended);
  expect(busy.text).toBe('{"error":"nginx is shutting down"}\n');
  await eventually(nginx.isRunning, (isRunning) => !isRunning);
  clearInterval(beat);
  expect([find('busy')!.closed, find('silent')!.closed]).toEqual([true, true]);
  await server.close();
  await nginx.restart();
  await nginx.stop();
});

test('a handler hears of it when the worker that had its connection was killed', async () => {
  const server = await startSseServer();
  const nginx = await startNginx({
    http: 'server { include sse/inner.conf; include sse/client.conf; }',
    server: `postpone_output 0; js_import handlers from /etc/nginx/handlers.js;
      location = /events { js_content handlers.events; }`,
    files: { '/etc/nginx/handlers.js': HANDLERS },
  });
  const url = encodeURIComponent(`http://${server.address}/`);
  const streams = await Promise.all(Array.from({ length: 12 }, () => open(nginx, `/events?url=${url}`)));
  await eventually(
    async () => server.open().length,
    (length) => length === streams.length,
  );
  const killed = streams[0]!.headers['x-worker'];
  const others = streams.filter(({ headers }) => headers['x-worker'] !== killed);
  expect(others).not.toHaveLength(0);
  await nginx.sh(`kill -9 ${killed}`);
  server.write('data: to those that are left\n\n');
  // A connection takes two requests of nginx to itself, either of which may have been in the killed worker.
  await Promise.all(
    others.map(async (stream) => {
      await stream.until(({ ended, text }) => ended || text.includes('left'));
      if (!stream.text.includes('left')) {
        expect(stream.text).toBe('{"error":"closed"}\n');
      }
    }),
  );
  await server.close();
  await nginx.stop(/exited on signal 9/, /prematurely closed connection/);
});

test('without its server, the client says what is missing', async () => {
  const nginx = await startNginx({
    server:
      'js_import handlers from /etc/nginx/handlers.js; location = /connect { js_content handlers.connect; }',
    files: { '/etc/nginx/handlers.js': HANDLERS },
    http: 'server { include sse/inner.conf; server_name other; location / { proxy_pass http://127.0.0.1:1; include sse/upstream.conf; } }',
  });
  const stream = await open(nginx, '/connect?url=http://127.0.0.1:1/');
  await stream.until(({ ended }) => ended);
  expect(stream.text).toContain(
    'no server with \\"include sse/client.conf;\\" answers on 127.0.0.1:8129 (status 403)',
  );
  await nginx.stop(/Connection refused/, /sse: upstream of "/);
});
