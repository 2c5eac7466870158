import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, send } from './client.ts';
import { changed, type Nginx, startNginx } from './nginx.ts';
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
    case 'throw-text':
        throw 'a text';
    case 'inject':
        return { type: 'x\\ndata: injected', data: '' };
    case 'inject-retry':
        return { data: '', retry: '1\\ndata: injected' };
    case 'text':
        return 'no event';
    case 'promise':
        return Promise.reject(new Error('nobody waits for it'));
    case 'bad-end':
        relay.state.badEnd = true;
        return null;
    default:
        relay.state.count = (relay.state.count ?? 0) + 1;
        return Object.assign(event, { data: relay.state.count + ' ' + event.data });
    }
}
function onEnd(r, relay, reason) {
    r.log('onEnd ' + r.variables.request_uri + ' ' + reason + ' ' + relay.state.count);
    if (relay.state.badEnd) {
        throw new Error('as the end was told');
    }
    return r.args.onEnd ? { data: 'the end' } : null;
}
export default { onEvent, onEnd };
`;

describe('relay', () => {
  let nginx: Nginx;
  let upstream: SseServer;

  beforeAll(async () => {
    upstream = await startSseServer();
    const location = (path: string, module: string, more = '', conf = 'sse/relay.conf') => `location ${path} {
      ${more}
      ${module && `js_import relay from ${module};`}
      set $sse_max_event 4k;
      include ${conf};
      proxy_pass http://${upstream.address};
    }`;
    nginx = await startNginx({
      workers: 1, // so that what happens has an order
      server: [
        location('/mine', '/etc/nginx/relay.js'),
        location('/rewritten', '/etc/nginx/relay.js', 'rewrite ^/rewritten(.*) /to$1 break;'),
        location('/after-break', '/etc/nginx/relay.js', 'break;'),
        location('/impatient', '/etc/nginx/relay.js', '', 'impatient.conf'),
        location('/async', '/etc/nginx/async.js'),
        location('/async-end', '/etc/nginx/async-end.js'),
        location('/misnamed', '/etc/nginx/misnamed.js'),
        location('/missing', ''),
        location('/tokens', 'examples/tokens.js'),
      ].join(''),
      files: {
        '/etc/nginx/relay.js': RELAY,
        '/etc/nginx/async.js': 'export default { onEvent: async (event) => event };',
        '/etc/nginx/async-end.js': 'export default { onEvent: (event) => event, onEnd: async () => null };',
        '/etc/nginx/misnamed.js': 'export default { onMessage: (event) => event };',
        '/etc/nginx/impatient.conf': Object.values(
          changed('relay.conf', 'proxy_read_timeout 10m', 'proxy_read_timeout 100ms'),
        )[0]!,
      },
    });
  });
  afterAll(async () => {
    await upstream.close();
    await nginx.stop(/sse: relay: /, /prematurely closed/, /upstream timed out/);
  });

  /** Opens a relay and gives both of its ends. */
  async function start(path: string) {
    const before = upstream.connections.length;
    const stream = await open(nginx, path);
    return { stream, ...upstreamSide(before) };
  }

  function upstreamSide(index: number) {
    const connection = upstream.connections[index]!;
    const { response, headers } = connection;
    return {
      connection,
      headers,
      write: (bytes: string | Buffer) => response.write(bytes),
      end: () => response.end(),
      breakOff: () => response.destroy(),
    };
  }

  /** The same over HTTP/2, in a session that stays open. */
  async function startHttp2(path: string) {
    const before = upstream.connections.length;
    const session = connect(nginx.url);
    const request = session.request({ ':path': path });
    const stream = {
      status: 0,
      text: '',
      ended: false,
      closed: false,
      code: -1,
      leave: () => request.close(8),
    };
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      stream.text += chunk;
    });
    request.on('end', () => {
      stream.ended = true;
    });
    request.on('error', () => {});
    request.on('close', () => {
      stream.closed = true;
      stream.code = request.rstCode ?? -1;
    });
    await new Promise<void>((resolve, reject) => {
      session.on('error', reject);
      request.on('response', (headers) => {
        stream.status = headers[':status']!;
        resolve();
      });
    });
    return { stream, request, session, ...upstreamSide(before) };
  }

  /** All bytes of a response over HTTP/1.1, once nginx has closed the connection. */
  async function startRaw(path: string) {
    const before = upstream.connections.length;
    const socket = createConnection(nginx.port, nginx.host);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    let bytes = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      bytes += chunk;
    });
    const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(bytes)));
    await eventually(
      async () => upstream.connections.length,
      (count) => count > before,
    );
    return { socket, closed, ...upstreamSide(before) };
  }

  const isTrue = (value: boolean) => value;
  const closes = (stream: { closed: boolean }) => eventually(async () => stream.closed, isTrue);

  /** The lines of the error log with a text. */
  async function linesWith(text: string): Promise<string[]> {
    return (await nginx.log()).split('\n').filter((line) => line.includes(text));
  }

  /** What onEnd was told of one request, looked at again after a whole relay: so there is no more. */
  async function endingsOf(path: string): Promise<string[]> {
    const endings = async () => (await linesWith(`onEnd ${path} `)).map((line) => line.split(`${path} `)[1]!);
    await eventually(endings, ({ length }) => length > 0);
    const { stream, end } = await start('/mine');
    end();
    await stream.until(({ ended }) => ended);
    return endings();
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
    const { stream, connection, write } = await start('/mine');
    write('data: a\n\nevent: last\ndata: b\n\ndata: never\n\n');
    await stream.until(({ ended }) => ended);
    expect(stream.events.map(({ data }) => data)).toEqual(['1 a', 'b']);
    expect(stream.headers.connection).toBe('close');
    await closes(connection);
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

  describe('failure', () => {
    const failures: [what: string, bytes: string, line: string][] = [
      ['an exception', 'event: throw\ndata: x\n\n', 'as it was told (/etc/nginx/relay.js:12:'],
      ['an exception that is no Error', 'event: throw-text\ndata: x\n\n', 'thrown: "a text"'],
      ['a smuggled line', 'event: inject\ndata: x\n\n', 'an id or an event type cannot have NUL, CR or LF'],
      ['a retry of two lines', 'event: inject-retry\ndata: x\n\n', 'a retry has to be a whole number'],
      ['a text as result', 'event: text\ndata: x\n\n', 'onEvent returned neither an event'],
      ['a promise as result', 'event: promise\ndata: x\n\n', 'onEvent returned a promise'],
      ['a line over the limit', `data: ${'x'.repeat(5000)}\n\n`, 'the event stream has a longer line than'],
      ['an event over the limit', 'data: xxx\n'.repeat(1500), 'the event stream has a longer event than'],
    ];

    for (const [what, bytes, line] of failures) {
      test(`of ${what} cuts the response off behind the events before it, in one log line`, async () => {
        const before = (await linesWith('[error]')).length;
        const { stream, connection, write } = await start(
          `/mine?onEnd=1&failure=${encodeURIComponent(what)}`,
        );
        write(`data: a\n\n${bytes}data: never\n\n`);
        await closes(stream);
        expect(stream.ended).toBe(false);
        expect(stream.text).toBe('data: 1 a\n\n');
        await closes(connection);
        const errors = (await linesWith('[error]')).slice(before);
        expect(errors).toHaveLength(1);
        expect(errors[0]).toContain(`sse: relay: ${line}`);
      });
    }

    test('cuts off a response whose location was rewritten, or comes after a break', async () => {
      for (const path of ['/rewritten/x?cut', '/after-break?cut', '/mine/%25?cut', '/mine/%3f?cut']) {
        const { stream, connection, write } = await start(path);
        const requests = upstream.connections.length;
        write('data: a\n\n');
        await stream.untilEvents(1);
        write('event: throw\ndata: x\n\n');
        await closes(stream);
        expect(stream.ended).toBe(false);
        await closes(connection);
        expect(await endingsOf(path)).toEqual(['failed 1']);
        expect(upstream.connections).toHaveLength(requests + 1); // the one of endingsOf
      }
    });

    test('of a request with a body does not send it to the upstream again', async () => {
      const before = upstream.connections.length;
      const reply = await fetch(`${nginx.url}/mine?post=1`, { method: 'POST', body: '{}' });
      upstream.connections[before]!.response.write('data: a\n\nevent: throw\ndata: x\n\n');
      await expect(reply.text()).rejects.toThrow();
      expect(await endingsOf('/mine?post=1')).toEqual(['failed 1']);
      expect(upstream.connections.slice(before).map(({ path }) => path)).toEqual(['/mine?post=1', '/mine']);
    });

    test('lacks the last chunk over HTTP/1.1, which a complete response has', async () => {
      const broken = await startRaw('/mine');
      broken.write('data: a\n\nevent: throw\ndata: x\n\n');
      expect(await broken.closed).toMatch(/\r\n\r\nb\r\ndata: 1 a\n\n\r\n$/);
      const whole = await startRaw('/mine');
      whole.write('data: a\n\n');
      whole.end();
      expect(await whole.closed).toMatch(/\r\n\r\nb\r\ndata: 1 a\n\n\r\n0\r\n\r\n$/);
    });

    test('resets the stream over HTTP/2, and keeps the session', async () => {
      const { stream, session, connection, write } = await startHttp2('/mine');
      write('data: a\n\nevent: throw\ndata: x\n\n');
      await closes(stream);
      expect(stream).toMatchObject({ text: 'data: 1 a\n\n', code: 2 });
      await closes(connection);
      expect(session.closed).toBe(false);
      session.close();
    });
  });

  describe('onEnd', () => {
    type Side = { connection: { closed: boolean }; stream: { closed: boolean; leave(): void } } & ReturnType<
      typeof upstreamSide
    >;
    const endings: [name: string, reason: string, finish: (side: Side) => void][] = [
      ['of its own', 'complete', ({ end }) => end()],
      ['by relay.end()', 'ended', ({ write }) => write('event: last\ndata: x\n\ndata: never\n\n')],
      ['by an exception', 'failed', ({ write }) => write('event: throw\ndata: x\n\n')],
      ['by an event over the limit', 'failed', ({ write }) => write(`data: ${'x'.repeat(5000)}`)],
      ['by an upstream that breaks off', 'upstream', ({ breakOff }) => breakOff()],
      ['by a client that leaves', 'client', ({ stream }) => stream.leave()],
    ];

    for (const [protocol, begin] of [
      ['HTTP/1.1', start],
      ['HTTP/2', startHttp2],
    ] as const) {
      test.each(endings)(
        `is called once, with the reason, at an end %s, over ${protocol}`,
        async (name, reason, finish) => {
          const path = `/mine?ending=${encodeURIComponent(name)}&over=${protocol}`;
          const side = await begin(path);
          side.write('data: a\n\n');
          await eventually(
            async () => side.stream.text,
            (text) => text !== '',
          );
          finish(side);
          await closes(side.stream);
          if (reason === 'ended') {
            side.write('data: the upstream goes on\n\n');
          }
          await closes(side.connection);
          if (reason !== 'client') {
            expect(side.stream.ended).toBe(reason === 'complete' || reason === 'ended');
          }
          expect(await endingsOf(path)).toEqual([`${reason} 1`]);
        },
      );
    }

    test('is told that the upstream broke off before its first event, or was silent for too long', async () => {
      const { stream, breakOff } = await start('/mine?no-event');
      breakOff();
      await closes(stream);
      expect(await endingsOf('/mine?no-event')).toEqual(['upstream undefined']);
      const silent = await start('/impatient');
      await closes(silent.stream);
      expect(silent.stream.ended).toBe(false);
      expect(await endingsOf('/impatient')).toEqual(['upstream undefined']);
    });

    test('is told that the client left before the first event', async () => {
      const { stream, connection } = await start('/mine?no-event-left');
      stream.leave();
      await closes(connection);
      expect(await endingsOf('/mine?no-event-left')).toEqual(['client undefined']);
    });

    test('has its events sent last, but in no stream that broke', async () => {
      const texts = [];
      for (const finish of ['end', 'last', 'throw', 'break'] as const) {
        const { stream, write, end, breakOff } = await start(`/mine?onEnd=1&finish=${finish}`);
        write('data: a\n\n');
        await stream.untilEvents(1);
        finish === 'end' ? end() : finish === 'break' ? breakOff() : write(`event: ${finish}\ndata: x\n\n`);
        await closes(stream);
        texts.push(stream.text.slice('data: 1 a\n\n'.length));
      }
      expect(texts).toEqual(['data: the end\n\n', 'event: last\ndata: x\n\ndata: the end\n\n', '', '']);
    });

    test('is not called again when it throws; a response that it should have completed is cut off', async () => {
      for (const [finish, reason] of [
        ['end', 'complete'],
        ['last', 'ended'],
        ['break', 'upstream'],
      ] as const) {
        const path = `/mine?bad-end=${finish}`;
        const { stream, write, end, breakOff } = await start(path);
        const before = (await linesWith('as the end was told')).length;
        write('data: a\n\nevent: bad-end\ndata: x\n\n');
        await stream.untilEvents(1);
        finish === 'end' ? end() : finish === 'break' ? breakOff() : write('event: last\ndata: x\n\n');
        await closes(stream);
        expect(stream.ended).toBe(false);
        expect(stream.text).toBe(`data: 1 a\n\n${finish === 'last' ? 'event: last\ndata: x\n\n' : ''}`);
        expect(await endingsOf(path)).toEqual([`${reason} 1`]);
        expect((await linesWith('as the end was told')).slice(before)).toHaveLength(1);
      }
    });

    test('is not called for an answer that is no event stream, nor for one to HEAD', async () => {
      upstream.answer = ({ response }) => response.end('plain');
      expect((await send(nginx, '/mine?plain')).text).toBe('plain');
      upstream.answer = startStream;
      const answer = await send(nginx, '/mine?head', { method: 'HEAD' });
      expect(answer.headers.get('content-type')).toBe('text/event-stream');
      const { stream, end } = await start('/mine?after');
      end();
      await stream.until(({ ended }) => ended);
      expect(await endingsOf('/mine?after')).toEqual(['complete undefined']);
      expect(await linesWith('onEnd /mine?plain')).toEqual([]);
      expect(await linesWith('onEnd /mine?head')).toEqual([]);
    });
  });

  test('leaves the upstream after relay.end() even if the client keeps its connection', async () => {
    const { stream, session, connection, write } = await startHttp2('/mine');
    write('event: last\ndata: x\n\n');
    await closes(stream);
    expect(stream).toMatchObject({ text: 'event: last\ndata: x\n\n', ended: true });
    write('data: more\n\n');
    await closes(connection);
    expect(session.closed).toBe(false);
    session.close();
  });

  describe('a slow client', () => {
    /** Ends the relay while the client reads nothing, and has the upstream go on until it is left. */
    async function endUnread(path: string, read: () => void, side: ReturnType<typeof upstreamSide>) {
      for (let i = 0; i < 16; i++) {
        side.write(`data: ${'x'.repeat(1000)}\n\n`.repeat(1000));
      }
      side.write('event: last\ndata: x\n\n');
      await eventually(
        () => linesWith(`onEnd ${path} ended`),
        ({ length }) => length === 1,
      );
      side.write('data: the upstream goes on\n\n');
      read();
      await eventually(async () => {
        side.write('data: and on\n\n');
        return side.connection.closed;
      }, isTrue);
    }

    test('gets the whole response over HTTP/1.1, though the upstream goes on', async () => {
      const { socket, closed, ...side } = await startRaw('/mine?slow=1');
      socket.pause();
      let end = '';
      socket.on('data', (chunk: string) => {
        end = (end + chunk).slice(-80);
        if (end.endsWith('\r\n0\r\n\r\n')) {
          socket.destroy(); // it is told to: Connection: close
        }
      });
      await endUnread('/mine?slow=1', () => socket.resume(), side);
      await closed;
      expect(end).toMatch(/event: last\ndata: x\n\n\r\n0\r\n\r\n$/);
    });

    test('gets the whole response over HTTP/2, though the upstream goes on', async () => {
      const { stream, request, session, ...side } = await startHttp2('/mine?slow=2');
      request.pause();
      await endUnread('/mine?slow=2', () => request.resume(), side);
      await closes(stream);
      expect(stream).toMatchObject({ ended: true, code: 0 });
      expect(stream.text.slice(-30)).toMatch(/event: last\ndata: x\n\n$/);
      session.close();
    });
  });

  test.each([
    ['/missing', 'no functions: put "js_import relay from <your file>;" into the location'],
    ['/misnamed', 'the module has no function onEvent: "export default { onEvent };" is missing in it'],
    ['/async', "onEvent is async, but nginx's filters cannot wait: make it a plain function"],
    ['/async-end', "onEnd is async, but nginx's filters cannot wait: make it a plain function"],
  ])('answers 500 for functions that cannot work: %s', async (path, message) => {
    for (const begin of [start, startHttp2]) {
      const before = (await linesWith('[error]')).length;
      const { stream, connection } = await begin(path);
      expect(stream.status).toBe(500);
      await closes(stream);
      expect([stream.ended, stream.text]).toEqual([true, '']);
      await closes(connection);
      expect((await linesWith('[error]')).slice(before)).toEqual([
        expect.stringContaining(`sse: relay: ${message}`),
      ]);
    }
  });

  test('answers 500 for a compressed event stream, which cannot be read', async () => {
    upstream.answer = ({ response }) =>
      response
        .writeHead(200, { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' })
        .flushHeaders();
    const { stream } = await start('/mine');
    upstream.answer = startStream;
    await stream.until(({ ended }) => ended);
    expect([stream.status, stream.headers['content-encoding']]).toEqual([500, undefined]);
  });

  test("waits longer for the upstream than nginx's 60 seconds", () => {
    expect(readFileSync('nginx/sse/relay.conf', 'utf8')).toMatch(/^proxy_read_timeout 10m;/m);
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

  describe('the token stream of the examples', () => {
    const token = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;

    const texts = (events: { data: string }[]) => events.map(({ data }) => data);

    test('passes as it is, and is counted in the log', async () => {
      const { stream, write, end } = await start('/tokens?max=100');
      const odd = [
        '',
        'null',
        '7',
        'error: overloaded',
        '{"choices":0}',
        '{"choices":[null]}',
        '{"error":{"code":1}}',
      ];
      const bytes = `${token('Hel')}${odd.map((data) => `data: ${data}\n\n`).join('')}${token('lo')}data: [DONE]\n\n`;
      write(bytes);
      end();
      await stream.until(({ ended }) => ended);
      expect(stream.text).toBe(bytes);
      expect(await linesWith('tokens: 2 (complete)')).toHaveLength(1);
    });

    test('is cut off after N, as the API itself does it', async () => {
      const { stream, connection, write } = await start('/tokens?max=3');
      write(['a', 'b', 'c', 'd', 'e'].map(token).join(''));
      await stream.until(({ ended }) => ended);
      const chunk = (content: string) => ({ choices: [{ delta: { content } }] });
      expect(texts(stream.events)).toEqual([
        JSON.stringify(chunk('a')),
        JSON.stringify(chunk('b')),
        JSON.stringify({ choices: [{ ...chunk('c').choices[0], finish_reason: 'length' }] }),
        '[DONE]',
      ]);
      await closes(connection);
      expect(await linesWith('tokens: 3 (ended)')).toHaveLength(1);
    });

    test('is counted if the client leaves', async () => {
      const { stream, connection, write } = await start('/tokens');
      write(['a', 'b', 'c', 'd'].map(token).join(''));
      await stream.untilEvents(4);
      stream.leave();
      await closes(connection);
      await eventually(
        () => linesWith('tokens: 4 (client)'),
        ({ length }) => length === 1,
      );
    });
  });
});
