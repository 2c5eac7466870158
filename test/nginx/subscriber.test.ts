import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, publish, type Stream, send, subscribers } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

describe.each(allEngines)('subscriber location (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      server: `${PUBLISH_AND_SUBSCRIBE}
        location /fast/ { set $sse_heartbeat 100ms; set $sse_retry 7s; include sse/subscriber.conf; }
        location /still/ { set $sse_heartbeat 1h; include sse/subscriber.conf; }
        location /slow/ { set $sse_heartbeat 14s; include sse/subscriber.conf; }
        location /three/ { allow all; set $sse_history 3; include sse/publisher.conf; }
        location /brief/ { allow all; set $sse_ttl 1s; include sse/publisher.conf; }
        location /any/ { set $sse_origins *; include sse/subscriber.conf; }
        location /some/ { set $sse_origins "https://a.example, https://b.example"; include sse/subscriber.conf; }
        location ~ ^/rooms/(.+)/listen$ { set $sse_channel $1; include sse/subscriber.conf; }`,
    });
    // From inside the container: a proxy in between, such as Docker's, would keep its own connection open.
    await nginx.sh('curl -sN -m 1 http://127.0.0.1:8080/slow/gone');
    expect(await subscribers(nginx, 'gone')).toBe(1);
  });
  afterAll(() => nginx.stop());

  test('starts at once, with the headers of an event stream', async () => {
    const stream = await open(nginx, '/events/start');
    expect(stream.status).toBe(200);
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'transfer-encoding': 'chunked',
    });
    await stream.until(({ text }) =>
      /^retry: 2000\nid: [0-9a-z]+-0\nevent: sse-start\ndata: {}\n\n$/.test(text),
    );
    stream.leave();
  });

  test('sends heartbeats and the reconnection time that is set', async () => {
    const stream = await open(nginx, '/fast/start');
    await stream.until(({ text }) =>
      /^retry: 7000\nid: [0-9a-z]+-0\nevent: sse-start\ndata: {}\n\n:\n:\n/.test(text),
    );
    stream.leave();
  });

  test('sends an event when it comes', async () => {
    const stream = await open(nginx, '/events/live');
    for (let i = 1; i <= 3; i++) {
      await publish(nginx, 'live', `event ${i}`);
      expect((await stream.untilEvents(i))[i - 1]).toMatchObject({ data: `event ${i}` });
    }
    stream.leave();
  });

  test('takes the channel from $sse_channel', async () => {
    const stream = await open(nginx, '/rooms/blue/listen');
    await publish(nginx, 'blue', 'hi');
    await stream.untilEvents(1);
    stream.leave();
  });

  describe('replay', () => {
    const datas = (stream: Stream) => stream.events.map(({ data }) => data);

    test('resumes after Last-Event-ID, in a header or in the query', async () => {
      const ids: string[] = [];
      for (let i = 1; i <= 5; i++) {
        ids.push((await publish(nginx, 'resume', String(i))).id!);
      }
      const header = await open(nginx, '/events/resume', { 'Last-Event-ID': ids[2]! });
      await header.untilEvents(2);
      const query = await open(nginx, `/events/resume?lastEventId=${ids[3]}`);
      await query.untilEvents(1);
      const both = await open(nginx, `/events/resume?lastEventId=${ids[0]}`, { 'Last-Event-ID': ids[4]! });
      await publish(nginx, 'resume', '6');
      await Promise.all([header.untilEvents(3), query.untilEvents(2), both.untilEvents(1)]);
      expect([datas(header), datas(query), datas(both)]).toEqual([['4', '5', '6'], ['5', '6'], ['6']]);
      for (const stream of [header, query, both]) {
        stream.leave();
      }
    });

    test("resumes after a publisher's own id, the earliest that has it", async () => {
      for (const [id, data] of ['x', 'Ω 1', 'x', 'y'].entries()) {
        await publish(nginx, 'own', String(id), { 'X-EventSource-ID': Buffer.from(data).toString('latin1') });
      }
      const earliest = await open(nginx, '/events/own', { 'Last-Event-ID': 'x' });
      const unicode = await open(nginx, '/events/own?lastEventId=%CE%A9%201');
      await Promise.all([earliest.untilEvents(3), unicode.untilEvents(2)]);
      expect([datas(earliest), datas(unicode)]).toEqual([
        ['1', '2', '3'],
        ['2', '3'],
      ]);
      earliest.leave();
      unicode.leave();
    });

    test('gives a first visitor the history that it asks for, and none unasked', async () => {
      for (let i = 1; i <= 4; i++) {
        await publish(nginx, 'history', String(i));
      }
      const [all, two, many, none] = await Promise.all(
        ['?history=all', '?history=2', '?history=99', ''].map((query) =>
          open(nginx, `/events/history${query}`),
        ),
      );
      await publish(nginx, 'history', '5');
      await Promise.all([
        all!.untilEvents(5),
        two!.untilEvents(3),
        many!.untilEvents(5),
        none!.untilEvents(1),
      ]);
      expect([all, two, many, none].map((stream) => datas(stream!))).toEqual([
        ['1', '2', '3', '4', '5'],
        ['3', '4', '5'],
        ['1', '2', '3', '4', '5'],
        ['5'],
      ]);
      for (const stream of [all, two, many, none]) {
        stream!.leave();
      }
    });

    test('misses nothing although the connection broke before the first event', async () => {
      await publish(nginx, 'early', 'before', { 'X-EventSource-ID': 'first' });
      const stream = await open(nginx, '/events/early');
      await stream.until(({ text }) => text.includes('id: '));
      expect(stream.text).toBe('retry: 2000\nid: first\nevent: sse-start\ndata: {}\n\n');
      stream.leave();
      await publish(nginx, 'early', 'while away');
      const again = await open(nginx, '/events/early', { 'Last-Event-ID': 'first' });
      expect((await again.untilEvents(1))[0]!.data).toBe('while away');
      again.leave();
    });

    test('tells of a gap when the log no longer reaches back', async () => {
      const first = await publish(nginx, 'gap', '1');
      for (let i = 2; i <= 6; i++) {
        await send(nginx, '/three/gap', { method: 'POST', body: String(i) });
      }
      const epoch = first.id!.split('-')[0];
      const stream = await open(nginx, '/events/gap', { 'Last-Event-ID': first.id! });
      await stream.untilEvents(4);
      const gap = { channel: 'gap', lastEventId: first.id, missed: 2, oldest: `${epoch}-4` };
      expect(stream.text).toBe(
        `retry: 2000\nid: ${epoch}-3\nevent: sse-gap\ndata: ${JSON.stringify(gap)}\n\n` +
          `id: ${epoch}-4\ndata: 4\n\nid: ${epoch}-5\ndata: 5\n\nid: ${epoch}-6\ndata: 6\n\n`,
      );
      stream.leave();
      const resumed = await open(nginx, '/events/gap', { 'Last-Event-ID': `${epoch}-3` });
      expect((await resumed.untilEvents(3))[0]).toMatchObject({ data: '4' });
      resumed.leave();
    });

    test('tells of a gap when events have outlived their time', async () => {
      const post = (body: string) => send(nginx, '/brief/expired', { method: 'POST', body });
      const ids = [(await post('1')).json.id!, (await post('2')).json.id!, (await post('3')).json.id!];
      await eventually(
        () => send(nginx, '/publish/expired'),
        ({ json }) => json.events === 0,
      );
      const empty = await open(nginx, '/events/expired', { 'Last-Event-ID': ids[0]! });
      expect(JSON.parse((await empty.untilEvents(1))[0]!.data)).toMatchObject({ missed: 2, oldest: null });
      const { id } = await publish(nginx, 'expired', '4');
      await empty.untilEvents(2);
      const stream = await open(nginx, '/events/expired', { 'Last-Event-ID': ids[1]! });
      await stream.untilEvents(2);
      expect(JSON.parse(stream.events[0]!.data)).toMatchObject({ missed: 1, oldest: id });
      expect(datas(stream)[1]).toBe('4');
      const history = await open(nginx, '/events/expired?history=all');
      await history.untilEvents(1);
      expect(datas(history)).toEqual(['4']);
      for (const open of [empty, stream, history]) {
        open.leave();
      }
    });

    test('tells of a gap after an id that it does not know, and starts with the oldest event', async () => {
      const { id } = await publish(nginx, 'unknown', '1');
      const epoch = id!.split('-')[0];
      for (const lastEventId of ['42', 'zzz-1', `${epoch}-2`, `${epoch}-1,zzz-1x`]) {
        const stream = await open(nginx, '/events/unknown', { 'Last-Event-ID': lastEventId });
        await stream.untilEvents(2);
        expect(stream.events[0]).toMatchObject({ event: 'sse-gap', id: `${epoch}-0` });
        expect(JSON.parse(stream.events[0]!.data)).toEqual({
          channel: 'unknown',
          lastEventId,
          missed: null,
          oldest: id,
        });
        expect(stream.events[1]).toMatchObject({ data: '1', id });
        stream.leave();
      }
    });

    test('tells of a gap after an id of a channel that was deleted and made anew', async () => {
      const old = await publish(nginx, 'anew', 'old');
      await send(nginx, '/publish/anew', { method: 'DELETE' });
      await publish(nginx, 'anew', 'new');
      const stream = await open(nginx, '/events/anew', { 'Last-Event-ID': old.id! });
      await stream.untilEvents(2);
      expect(stream.events.map(({ event, data }) => event ?? data)).toEqual(['sse-gap', 'new']);
      stream.leave();
    });
  });

  describe('several channels', () => {
    test('resume exactly from one id, whatever their order', async () => {
      const stream = await open(nginx, '/events/m1,m2,m3');
      await stream.until(({ text }) => text.includes('id: '));
      const sent: string[] = [];
      for (let i = 0; i < 12; i++) {
        const channel = `m${(i % 3) + 1}`;
        await publish(nginx, channel, `${channel} ${i}`, i % 2 ? { 'X-EventSource-ID': `own ${i}` } : {});
        sent.push(`${channel} ${i}`);
        await stream.untilEvents(i + 1);
      }
      expect(stream.events.map(({ data }) => data)).toEqual(sent);
      stream.leave();
      for (const [i, event] of stream.events.entries()) {
        const resumed = await open(nginx, '/events/m3,m1,m2', { 'Last-Event-ID': event.id! });
        await resumed.untilEvents(11 - i);
        await publish(nginx, 'm1', 'end');
        await resumed.until(({ events }) => events.at(-1)?.data === 'end');
        const rest = resumed.events.map(({ data }) => data).filter((data) => data !== 'end');
        expect(rest.sort()).toEqual(sent.slice(i + 1).sort());
        resumed.leave();
      }
    });

    test('a channel that is new in the list starts live, one whose log was lost has a gap', async () => {
      await publish(nginx, 'n1', '1');
      await publish(nginx, 'n2', '1');
      const one = (await publish(nginx, 'n1', '2')).id!;
      const added = await open(nginx, '/events/n1,n2', { 'Last-Event-ID': one });
      await publish(nginx, 'n2', '2');
      await added.untilEvents(1);
      expect(added.events.map(({ data }) => data)).toEqual(['2']);
      const both = added.events[0]!.id!;
      added.leave();
      await send(nginx, '/publish/n2', { method: 'DELETE' });
      await publish(nginx, 'n2', 'new life');
      const lost = await open(nginx, '/events/n1,n2', { 'Last-Event-ID': both });
      await lost.untilEvents(2);
      expect(JSON.parse(lost.events[0]!.data)).toMatchObject({ channel: 'n2', missed: null });
      expect(lost.events[1]).toMatchObject({ data: 'new life' });
      lost.leave();
    });

    test('naming a channel twice sends its events once', async () => {
      const stream = await open(nginx, '/events/twice,twice');
      await publish(nginx, 'twice', '1');
      await publish(nginx, 'twice', '2');
      await stream.untilEvents(2);
      expect(stream.events.map(({ data }) => data)).toEqual(['1', '2']);
      stream.leave();
    });
  });

  describe('leaving', () => {
    test('is noticed by a heartbeat and leaves nothing behind', async () => {
      const streams = await Promise.all(Array.from({ length: 20 }, () => open(nginx, '/fast/leave,leave2')));
      await eventually(
        () => subscribers(nginx, 'leave'),
        (count) => count === 20,
      );
      for (const stream of streams.slice(5)) {
        stream.leave();
      }
      await eventually(
        () => subscribers(nginx, 'leave'),
        (count) => count === 5,
      );
      await eventually(
        () => subscribers(nginx, 'leave2'),
        (count) => count === 5,
      );
      const answer = await send(nginx, '/publish/leave', { method: 'POST', body: 'x' });
      expect(answer).toMatchObject({ status: 201, json: { subscribers: 5 } });
      for (const stream of streams) {
        stream.leave();
      }
      await eventually(
        () => subscribers(nginx, 'leave'),
        (count) => count === 0,
      );
      expect((await send(nginx, '/publish/leave', { method: 'POST', body: 'x' })).status).toBe(202);
    });

    test('is noticed by the second heartbeat, not the third', async () => {
      // It left before all other tests. Three heartbeats would take longer than we wait.
      await eventually(
        () => subscribers(nginx, 'gone'),
        (count) => count === 0,
      );
    });

    test('in HTTP/2 as well, by a reset stream and by a closed connection', async () => {
      const session = connectHttp2(nginx.url);
      const streams = [0, 1, 2].map(() => session.request({ ':path': '/fast/h2' }));
      await eventually(
        () => subscribers(nginx, 'h2'),
        (count) => count === 3,
      );
      streams[0]!.close();
      await eventually(
        () => subscribers(nginx, 'h2'),
        (count) => count === 2,
      );
      session.destroy();
      await eventually(
        () => subscribers(nginx, 'h2'),
        (count) => count === 0,
      );
    });
  });

  describe('HTTP', () => {
    test('serves HTTP/2', async () => {
      const session = connectHttp2(nginx.url);
      const stream = session.request({ ':path': '/events/two' });
      let text = '';
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      const headers = await new Promise<Record<string, unknown>>((resolve) => stream.on('response', resolve));
      expect(headers).toMatchObject({ ':status': 200, 'content-type': 'text/event-stream' });
      const { id } = await publish(nginx, 'two', 'hi');
      await eventually(
        async () => text,
        () => text.endsWith(`id: ${id}\ndata: hi\n\n`),
      );
      session.destroy();
    });

    test('serves HTTP/1.0: no chunks, and the end of the connection is the end', async () => {
      let text = '';
      let closed = false;
      const socket = connect(nginx.port, nginx.host, () => socket.write('GET /still/zero HTTP/1.0\r\n\r\n'));
      socket.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => {
        closed = true;
      });
      await eventually(
        async () => text,
        () => text.includes('id: '),
      );
      const { id } = await publish(nginx, 'zero', 'hi');
      await eventually(
        async () => text,
        () => text.endsWith(`id: ${id}\ndata: hi\n\n`),
      );
      expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(text).toMatch(/\r\nConnection: close\r\n/);
      expect(text).not.toMatch(/Transfer-Encoding/);
      await send(nginx, '/publish/zero', { method: 'DELETE' });
      await eventually(async () => closed, Boolean);
    });

    test('HEAD has the headers and no body', async () => {
      const head = await send(nginx, '/events/head', { method: 'HEAD' });
      expect([head.status, head.text]).toEqual([200, '']);
      expect(head.headers.get('content-type')).toBe('text/event-stream');
      await eventually(
        () => subscribers(nginx, 'head'),
        (count) => count === 0,
      );
    });

    test('refuses other methods, and clients that accept no event streams', async () => {
      const post = await send(nginx, '/events/x', { method: 'POST', body: 'x' });
      expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
      expect(post.json.error).toMatch(/^POST is not supported here/);
      for (const accept of [
        'application/json',
        'text/html, image/*',
        'text/event-stream;q=0, */*',
        'text/event-streams',
      ]) {
        const refused = await send(nginx, '/events/x', { headers: { accept } });
        expect([refused.status, refused.json.error]).toEqual([
          406,
          'this is an event stream: send "Accept: text/event-stream"',
        ]);
      }
      for (const accept of [
        'text/event-stream',
        'text/*',
        '*/*;q=0.1',
        'text/html,text/event-stream;q=0.5',
        'Text/Event-Stream',
      ]) {
        const stream = await open(nginx, '/events/x', { accept });
        expect(stream.status).toBe(200);
        stream.leave();
      }
    });

    test('refuses what names no channel, and a wrong history', async () => {
      for (const path of [
        '/events/',
        '/events/a,',
        '/events/,a',
        '/events/a%20b',
        `/events/${'x'.repeat(129)}`,
      ]) {
        const answer = await send(nginx, path);
        expect([answer.status, answer.json.error]).toEqual([
          400,
          expect.stringMatching(/^invalid channel: the last segment of the path must be 1 to 64 names/),
        ]);
      }
      for (const history of ['x', '-1', '1.5', 'ALL']) {
        const answer = await send(nginx, `/events/a?history=${history}`);
        expect([answer.status, answer.json.error]).toEqual([400, 'history is a number of events, or all']);
      }
    });

    test('allows the origins that are set, and says so in a preflight', async () => {
      const preflight = (path: string, origin: string) =>
        send(nginx, path, {
          method: 'OPTIONS',
          headers: {
            origin,
            'access-control-request-method': 'GET',
            'access-control-request-headers': 'authorization,cache-control,last-event-id',
          },
        });
      const cors = async (path: string, origin: string) => {
        const { status, headers, text } = await preflight(path, origin);
        expect([status, text]).toEqual([204, '']);
        return ['origin', 'credentials', 'headers'].map((name) =>
          headers.get(`access-control-allow-${name}`),
        );
      };
      const allowed = 'Last-Event-ID, Authorization, Cache-Control';
      expect(await cors('/some/a', 'https://b.example')).toEqual(['https://b.example', 'true', allowed]);
      expect(await cors('/some/a', 'https://evil.example')).toEqual([null, null, null]);
      expect(await cors('/any/a', 'https://evil.example')).toEqual(['*', null, allowed]);
      expect(await cors('/events/a', 'https://b.example')).toEqual([null, null, null]);

      const stream = await open(nginx, '/some/a', { origin: 'https://a.example' });
      expect(stream.headers).toMatchObject({
        'access-control-allow-origin': 'https://a.example',
        vary: 'Origin',
      });
      stream.leave();
    });
  });
});
