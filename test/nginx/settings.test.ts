import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { open, publish, send } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const WRONG: [string, string, 'publisher' | 'subscriber', string][] = [
  ['sse_heartbeat', '15x', 'subscriber', 'a time from 100ms to 30d, like 15s'],
  ['sse_heartbeat', '10ms', 'subscriber', 'a time from 100ms to 30d, like 15s'],
  ['sse_retry', '-1', 'subscriber', 'a time from 1ms to 30d, like 15s'],
  ['sse_poll', '0', 'subscriber', 'a time from 1ms to 30d, like 15s'],
  ['sse_history', 'all', 'publisher', 'a whole number from 1 to 1000000'],
  ['sse_history', '0', 'publisher', 'a whole number from 1 to 1000000'],
  ['sse_ttl', '31d', 'publisher', 'a time from 1000ms to 30d, like 15s'],
  ['sse_max_event', '65m', 'publisher', 'a size up to 64m, like 64k'],
];

describe.each(allEngines)('settings (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    const wrong = WRONG.map(
      ([name, value, role], i) =>
        `location /wrong${i}/ { set $${name} ${value}; allow all; include sse/${role}.conf; }`,
    );
    nginx = await startNginx({
      engine,
      http: 'js_var $sse_retry 5s; map $uri $sse_heartbeat { ~often 100ms; default ""; }',
      server: `${wrong.join('\n')} ${PUBLISH_AND_SUBSCRIBE}
        location /own/ { set $sse_retry 9; include sse/subscriber.conf; }`,
    });
  });
  afterAll(() => nginx.stop(/ but has to be /));

  test.each(WRONG.map((entry, i) => [...entry, i] as const))(
    '$%s %s is refused',
    async (name, value, role, wanted, i) => {
      const method = role === 'publisher' ? 'POST' : 'GET';
      const answer = await send(nginx, `/wrong${i}/a`, {
        method,
        ...(role === 'publisher' ? { body: 'x' } : {}),
      });
      expect(answer.status).toBe(500);
      expect(answer.json).toEqual({ error: "njs-sse cannot serve this: nginx's error log says why" });
      const message = `js: sse: $${name} is "${value}", but has to be ${wanted}`;
      const lines = (await nginx.log()).split('\n').filter((line) => line.includes(message));
      expect(lines).toEqual([
        expect.stringMatching(/\[error\].*30d, like 15s$|\[error\].*1000000$|\[error\].*64k$/),
      ]);
    },
  );

  test('hold in http by js_var or map, and a location has the last word', async () => {
    const often = await open(nginx, '/events/often');
    await often.until(({ text }) => /^retry: 5000\n[\s\S]*\n\n:\n/.test(text));
    often.leave();
    const own = await open(nginx, '/own/a');
    await own.until(({ text }) => text.startsWith('retry: 9000\n'));
    own.leave();
  });

  test('unset, log no warnings', async () => {
    await publish(nginx, 'quiet', 'x');
    expect(await nginx.log()).not.toContain('uninitialized');
  });
});

describe.each(allEngines)('shared memory (%s)', (engine) => {
  test('a full zone refuses events with 507 and says how to help, the rest goes on', async () => {
    const nginx = await startNginx({
      engine,
      server: `${PUBLISH_AND_SUBSCRIBE}
        location /long/ { set $sse_history 100000; allow all; include sse/publisher.conf; }
        location /short/ { set $sse_history 5; allow all; include sse/publisher.conf; }`,
      files: {
        '/etc/nginx/sse/zones.conf':
          'js_shared_dict_zone zone=sse_log:128k timeout=1h; js_shared_dict_zone zone=sse_count:64k type=number timeout=1h;',
      },
    });
    const stream = await open(nginx, '/events/full');
    const post = (path: string, body: string, headers = {}) =>
      send(nginx, path, { method: 'POST', body, headers });
    let accepted = 0;
    let answer = await post('/long/full', 'x'.repeat(3000));
    while (answer.status === 201 && accepted < 1000) {
      accepted++;
      answer = await post('/long/full', 'x'.repeat(3000));
    }
    expect(answer.status).toBe(507);
    expect(answer.json.error).toMatch(
      /^shared memory is full, 0 of 1 events were published: enlarge the zones in sse\/zones.conf/,
    );
    expect(answer.json.published).toBe(0);

    const bulk = `data: y\n\ndata: ${'x'.repeat(40000)}\n\n`;
    const partly = await post('/long/full', bulk, { 'Content-Type': 'text/event-stream' });
    expect(partly.status).toBe(507);
    const small = partly.json.published!;
    await stream.untilEvents(accepted + small);
    // What found no room is not the newest event.
    const state = await send(nginx, '/publish/full');
    expect(state.json).toMatchObject({ id: stream.events.at(-1)!.id, events: accepted + small });

    expect((await post('/short/full', 'the log is trimmed to 5, and this goes in')).status).toBe(201);
    await stream.untilEvents(accepted + small + 1);
    expect(stream.events.at(-1)!.data).toBe('the log is trimmed to 5, and this goes in');
    expect(stream.events.filter(({ event }) => event)).toEqual([]);
    stream.leave();
    await nginx.stop();
  });

  test.each([
    ['without the zone for what many read together', ''],
    ['with one that is too small', 'js_shared_dict_zone zone=sse_batch:64k timeout=1s evict;'],
  ])('%s each subscriber reads for itself', async (_, zone) => {
    const nginx = await startNginx({
      engine,
      server: PUBLISH_AND_SUBSCRIBE,
      files: {
        '/etc/nginx/sse/zones.conf': `js_shared_dict_zone zone=sse_log:4m timeout=1h;
          js_shared_dict_zone zone=sse_count:1m type=number timeout=1h; ${zone}`,
      },
    });
    const streams = await Promise.all([1, 2, 3].map(() => open(nginx, '/events/a')));
    const bulk = `data: ${'x'.repeat(10000)}\n\n`.repeat(6);
    await send(nginx, '/publish/a', {
      method: 'POST',
      body: bulk,
      headers: { 'Content-Type': 'text/event-stream' },
    });
    for (const stream of streams) {
      await stream.untilEvents(6);
      stream.leave();
    }
    await nginx.stop();
  });

  test('missing zones are named', async () => {
    const nginx = await startNginx({
      engine,
      server: PUBLISH_AND_SUBSCRIBE,
      files: { '/etc/nginx/sse/zones.conf': '' },
    });
    expect((await send(nginx, '/events/a')).status).toBe(500);
    expect((await send(nginx, '/publish/a', { method: 'POST', body: 'x' })).status).toBe(500);
    expect((await nginx.log()).match(/js: sse: put "include sse\/http.conf;" into http/g)).toHaveLength(2);
    await nginx.stop(/put "include/);
  });
});
