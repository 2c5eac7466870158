import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { open, publish, send, sendAndReset } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

describe.each(allEngines)('publisher location (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      server: `${PUBLISH_AND_SUBSCRIBE}
        location /closed/ { include sse/publisher.conf; }
        location /small/ { allow all; set $sse_max_event 10; set $sse_channel small; include sse/publisher.conf; }
        location /tiny/ { allow all; client_max_body_size 1k; include sse/publisher.conf; }
        location /limited/ { allow all; limit_except GET { deny all; } include sse/publisher.conf; }
        location ~ ^/rooms/(.+)/say$ { allow all; set $sse_channel $1; include sse/publisher.conf; }`,
    });
  });
  afterAll(() => nginx.stop(/access forbidden by rule/, /intended to send too large/));

  test('answers 202 to nobody and 201 to somebody, with the channel as JSON', async () => {
    const nobody = await send(nginx, '/publish/answers', { method: 'POST', body: 'a' });
    expect(nobody.status).toBe(202);
    expect(nobody.headers.get('content-type')).toBe('application/json');
    expect(nobody.json).toEqual({
      channel: 'answers',
      id: expect.stringMatching(/^[0-9a-z]+-1$/),
      subscribers: 0,
      events: 1,
    });
    expect(nobody.text).toBe(`${JSON.stringify(nobody.json)}\n`);

    const stream = await open(nginx, '/events/answers');
    const somebody = await send(nginx, '/publish/answers', { method: 'POST', body: 'b' });
    expect(somebody.status).toBe(201);
    expect(somebody.json).toMatchObject({ subscribers: 1, events: 2 });
    stream.leave();
  });

  test('a client that leaves before it is answered is no error', async () => {
    const stream = await open(nginx, '/events/left');
    for (const request of [
      'POST /publish/left',
      'GET /publish/left',
      'PUT /publish/left',
      'POST /publish/a,b',
      'OPTIONS /events/left',
      'PUT /events/left',
      'GET /events/left?history=x',
      'POST /publish/left',
    ]) {
      await sendAndReset(nginx, request);
    }
    await stream.untilEvents(2);
    expect(stream.events.map(({ data }) => data)).toEqual(['x', 'x']);
    stream.leave();
  });

  test('sends id, event and data exactly', async () => {
    const stream = await open(nginx, '/events/exact');
    await stream.until(({ text }) => text.includes('id: '));
    const before = stream.text;
    await publish(nginx, 'exact', 'Grüße ☃ 🎉', {
      'X-EventSource-Event': utf8('grüß'),
      'X-EventSource-ID': utf8('n° 1'),
    });
    const { id } = await publish(nginx, 'exact', 'two');
    await stream.untilEvents(2);
    expect(stream.text.slice(before.length)).toBe(
      `id: n° 1\nevent: grüß\ndata: Grüße ☃ 🎉\n\nid: ${id}\ndata: two\n\n`,
    );
    stream.leave();
  });

  test.each([
    ['LF', 'a\nb\n', 'a\nb\n'],
    ['CRLF', 'a\r\nb', 'a\nb'],
    ['CR', 'a\rb', 'a\nb'],
    ['a mixture', 'a\n\r\nb\r\rc', 'a\n\nb\n\nc'],
    ['no text', '', ''],
    ['what looks like fields', 'data: x\n\nid: 7\n:c', 'data: x\n\nid: 7\n:c'],
    ['leading blanks and a BOM', '\ufeff  x ', '\ufeff  x '],
    ['NUL in the data', 'a\0b', 'a\0b'],
  ])('keeps data with %s', async (_, body, received) => {
    const stream = await open(nginx, '/events/lines');
    await publish(nginx, 'lines', body);
    expect((await stream.untilEvents(1))[0]!.data).toBe(received);
    stream.leave();
  });

  test('keeps the body that curl sends as a form', async () => {
    await publish(nginx, 'form', 'a=1&b=%20', { 'Content-Type': 'application/x-www-form-urlencoded' });
    const stream = await open(nginx, '/events/form?history=1');
    expect((await stream.untilEvents(1))[0]!.data).toBe('a=1&b=%20');
    stream.leave();
  });

  test('publishes every event of an event stream, in order, with its own fields', async () => {
    const body =
      '\ufeffid: 7\nevent: x\nretry: 1500\ndata: one\ndata: 1\n\n: comment\n\ndata:two\r\n\r\nid\rdata\r\rdata: last';
    const state = await publish(nginx, 'bulk', body, { 'Content-Type': 'text/event-stream; charset=UTF-8' });
    expect(state).toMatchObject({ channel: 'bulk', events: 4 });
    const epoch = state.id!.split('-')[0];
    const stream = await open(nginx, '/events/bulk?history=all');
    await stream.untilEvents(4);
    expect(stream.text).toBe(
      `retry: 2000\nid: ${epoch}-0\nevent: sse-start\ndata: {}\n\n` +
        'id: 7\nevent: x\nretry: 1500\ndata: one\ndata: 1\n\n' +
        `id: ${epoch}-2\ndata: two\n\n` +
        `id: ${epoch}-3\ndata: \n\n` +
        `id: ${epoch}-4\ndata: last\n\n`,
    );
    stream.leave();
  });

  test('publishes no event of an event stream in which one is wrong', async () => {
    const headers = { 'Content-Type': 'text/event-stream' };
    for (const [bad, error] of [
      ['id: a\0b\ndata: 2\n\n', 'an id or a type cannot have NUL, CR or LF'],
      ['event: a\0b\ndata: 2\n\n', 'event 2: an id or a type cannot have NUL, CR or LF'],
    ]) {
      const answer = await send(nginx, '/publish/wrong', {
        method: 'POST',
        headers,
        body: `data: 1\n\n${bad}`,
      });
      expect(answer.status).toBe(400);
      expect(answer.json).toEqual({ error });
    }
    expect((await send(nginx, '/publish/wrong')).status).toBe(404);
    const empty = await send(nginx, '/publish/wrong', {
      method: 'POST',
      headers,
      body: ': nothing\n\nid: 1\n\n',
    });
    expect(empty.status).toBe(400);
    expect(empty.json.error).toMatch(/has no event/);
  });

  test.each([
    ['NUL', 'a\0b'],
    ['CR', 'a\rb'],
    ['LF', 'a\nb: c'],
  ])('refuses %s in an id or a type that comes in a header', async (_, value) => {
    for (const name of ['X-EventSource-ID', 'X-EventSource-Event']) {
      const head = `POST /publish/header HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n${name}: ${value}\r\nConnection: close\r\n\r\nx`;
      const answer = await rawRequest(nginx, head);
      if (value.includes('\n')) {
        // A line feed ends the header: what follows is another header, and never part of the value.
        const stream = await open(nginx, '/events/header?history=1');
        await stream.untilEvents(1);
        expect(stream.events[0]![name === 'X-EventSource-ID' ? 'id' : 'event']).toBe('a');
        stream.leave();
      } else {
        expect(answer).toMatch(/^HTTP\/1.1 400 /);
      }
    }
  });

  test("GET tells the channel's state, 404 if there is none", async () => {
    const missing = await send(nginx, '/publish/state');
    expect(missing.status).toBe(404);
    expect(missing.json.error).toMatch(/^there is no channel "state"/);
    const state = await publish(nginx, 'state', 'x', { 'X-EventSource-ID': 'mine' });
    expect(state.id).toBe('mine');
    const found = await send(nginx, '/publish/state');
    expect(found.status).toBe(200);
    expect(found.json).toEqual(state);
    const head = await send(nginx, '/publish/state', { method: 'HEAD' });
    expect([head.status, head.text]).toEqual([200, '']);
  });

  test('DELETE removes the channel and ends its subscribers', async () => {
    await publish(nginx, 'doomed', 'old');
    const stream = await open(nginx, '/events/doomed?history=all');
    await stream.untilEvents(1);
    const deleted = await send(nginx, '/publish/doomed', { method: 'DELETE' });
    expect(deleted.status).toBe(200);
    expect(deleted.json).toMatchObject({ channel: 'doomed', subscribers: 1, events: 1 });
    await stream.until(({ ended }) => ended);
    expect((await send(nginx, '/publish/doomed')).status).toBe(404);
    expect((await send(nginx, '/publish/doomed', { method: 'DELETE' })).status).toBe(404);

    const again = await publish(nginx, 'doomed', 'new');
    expect(again.events).toBe(1);
    expect(again.id).toMatch(/-1$/);
    expect(again.id).not.toBe(deleted.json.id);
  });

  test('refuses what it cannot publish with one line that says what to do', async () => {
    const post = (path: string, headers: Record<string, string> = {}, body: BodyInit = 'x') =>
      send(nginx, path, { method: 'POST', headers, body });
    const refusals: [number, RegExp, Promise<Awaited<ReturnType<typeof send>>>][] = [
      [400, /^invalid channel: the last segment of the path must be 1 to 64 names/, post('/publish/')],
      [400, /^invalid channel: the last segment of the path must be 1 to 64 names/, post('/publish/a%20b')],
      [
        400,
        /^invalid channel: the last segment of the path must be 1 to 64 names/,
        post(`/publish/${'x'.repeat(129)}`),
      ],
      [400, /one channel at a time/, post('/publish/a,b')],
      [400, /not valid UTF-8/, post('/publish/a', {}, new Uint8Array([0x61, 0xff, 0x62]))],
      [
        400,
        /event 1: the id or the type is not valid UTF-8/,
        post('/publish/a', { 'X-EventSource-ID': 'ü' }),
      ],
      [403, /put "allow <address>;" above/, post('/closed/a')],
      [403, /put "allow <address>;" above/, post('/limited/a')],
      [405, /PUT is not supported here/, send(nginx, '/publish/a', { method: 'PUT', body: 'x' })],
      [413, /event 1 has more than 10 bytes of data.*\$sse_max_event/, post('/small/a', {}, '12345678901')],
      [413, /client_max_body_size/, post('/tiny/a', {}, 'x'.repeat(1025))],
      [415, /gzip is not supported/, post('/publish/a', { 'Content-Encoding': 'gzip' })],
      [
        415,
        /charset iso-8859-1 is not supported/,
        post('/publish/a', { 'Content-Type': 'text/plain;charset=ISO-8859-1' }),
      ],
      [415, /multipart/, post('/publish/a', { 'Content-Type': 'multipart/form-data; boundary=x' })],
    ];
    for (const [status, error, answer] of refusals) {
      const { json, text, headers, ...got } = await answer;
      expect([got.status, text]).toEqual([status, `${JSON.stringify({ error: json.error })}\n`]);
      expect(json.error).toMatch(error);
      expect(headers.get('content-length')).toBe(String(Buffer.byteLength(text)));
    }
    expect((await send(nginx, '/publish/a', { method: 'PUT', body: 'x' })).headers.get('allow')).toBe(
      'GET, HEAD, POST, DELETE',
    );
    expect((await send(nginx, '/publish/a')).status).toBe(404);
  });

  test('counts the size limit in bytes, and lets the limit itself pass', async () => {
    expect((await send(nginx, '/small/a', { method: 'POST', body: '1234567890' })).status).toBe(202);
    expect((await send(nginx, '/small/a', { method: 'POST', body: '☃☃☃☃' })).status).toBe(413);
    // Few characters of many bytes.
    expect((await send(nginx, '/small/a', { method: 'POST', body: '😀😀😀' })).status).toBe(413);
  });

  test('takes a body that came in chunks and is larger than a buffer', async () => {
    const large = 'ü'.repeat(500000);
    const stream = await open(nginx, '/events/large');
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < large.length; i += 9999) {
          controller.enqueue(new TextEncoder().encode(large.slice(i, i + 9999)));
        }
        controller.close();
      },
    });
    const answer = await send(nginx, '/publish/large', {
      method: 'POST',
      body,
      duplex: 'half',
    } as RequestInit);
    expect(answer.status).toBe(201);
    expect((await stream.untilEvents(1))[0]!.data).toBe(large);
    stream.leave();
  });

  test('takes the channel from $sse_channel, slashes and all', async () => {
    const answer = await send(nginx, '/rooms/blue/door/say', { method: 'POST', body: 'hi' });
    expect(answer.json.channel).toBe('blue/door');
  });

  test('keeps what a channel holds within $sse_history and forgets nothing else', async () => {
    for (let i = 1; i <= 105; i++) {
      await publish(nginx, 'bounded', String(i));
    }
    const stream = await open(nginx, '/events/bounded?history=all');
    const events = await stream.untilEvents(100);
    expect(events.map(({ data }) => data)).toEqual(Array.from({ length: 100 }, (_, i) => String(i + 6)));
    expect((await send(nginx, '/publish/bounded')).json.events).toBe(100);
    stream.leave();
  });
});

/** fetch sends a header as Latin-1: this makes that the UTF-8 of a text. */
function utf8(text: string): string {
  return Buffer.from(text).toString('latin1');
}

async function rawRequest(nginx: Nginx, request: string): Promise<string> {
  const { connect } = await import('node:net');
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(nginx.port, nginx.host, () => socket.write(request));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}
