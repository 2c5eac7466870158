/** Faults that publishers and clients meet, at the wire: what was accepted arrives, or a gap tells of it. */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { EventSource as NpmEventSource } from 'eventsource';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, publish, type Stream, send } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const datas = ({ events }: Stream) => events.map(({ event, data }) => (event === 'sse-gap' ? event : data));

describe.each(allEngines)('faults (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      server: `${PUBLISH_AND_SUBSCRIBE}
        location /long/ { allow all; set $sse_history 100000; include sse/publisher.conf; }
        location /ten/ { allow all; set $sse_history 10; include sse/publisher.conf; }
        location /brief/ { allow all; set $sse_ttl 1s; include sse/publisher.conf; }
        location /small/ { set $sse_budget 256k; include sse/subscriber.conf; }
        location /slow/ { set $sse_poll 500ms; include sse/subscriber.conf; }
        location /brief-stream/ { set $sse_lifetime 1s; include sse/subscriber.conf; }
        location /narrow/ { set $sse_backlog 64k; set $sse_budget 100m; include sse/subscriber.conf; }
        location /my/ { set $sse_channel $http_x_room; include sse/subscriber.conf; }
        location /mine/ { allow all; set $sse_channel $http_x_room; include sse/publisher.conf; }`,
    });
  });
  afterAll(() => nginx.stop(/sse: \$sse_channel is empty/));

  const bulk = (path: string, events: string[]) =>
    send(nginx, path, {
      method: 'POST',
      body: events.map((data) => `data: ${data}\n\n`).join(''),
      headers: { 'Content-Type': 'text/event-stream' },
    });

  test.each([
    ['events', 15000],
    ['small', 3000],
  ])('an id that the log does not have is a gap, however large the log is (/%s)', async (location, size) => {
    const channel = `unknown-${location}`;
    for (let i = 0; i < 10; i++) {
      await bulk(`/publish/${channel}`, Array(10).fill('x'.repeat(size)));
    }
    const stream = await open(nginx, `/${location}/${channel}`, { 'Last-Event-ID': 'of-another-life' });
    await stream.untilEvents(2);
    expect(stream.events[0]).toMatchObject({ event: 'sse-gap' });
    expect(JSON.parse(stream.events[0]!.data)).toMatchObject({ missed: null });
    expect(stream.events[1]!.data).toHaveLength(size);
    stream.leave();
  });

  test("a publisher's id is found in a log of 20,000 events", async () => {
    for (let i = 0; i < 20; i++) {
      await bulk('/long/many', Array(1000).fill('x'));
    }
    await send(nginx, '/long/many', {
      method: 'POST',
      body: 'here',
      headers: { 'X-EventSource-ID': 'my id' },
    });
    await bulk('/long/many', Array(1000).fill('y'));
    const stream = await open(nginx, '/events/many', { 'Last-Event-ID': 'my id' });
    await stream.untilEvents(1000);
    expect(new Set(datas(stream))).toEqual(new Set(['y']));
    stream.leave();
  });

  test.each([
    ['without an id', ''],
    ['that replays the history', '?history=all'],
  ])('a first visitor %s is told of each gap', async (_, query) => {
    const channel = `gaps${query.length}`;
    await send(nginx, `/ten/${channel}`, { method: 'POST', body: 'first' });
    const stream = await open(nginx, `/slow/${channel}${query}`);
    await stream.until(({ text }) => text.includes('sse-start'));
    for (let round = 1; round <= 3; round++) {
      await bulk(
        `/ten/${channel}`,
        Array.from({ length: 30 }, (_, i) => `${round} ${i}`),
      );
      await stream.until(({ events }) => events.at(-1)?.data === `${round} 29`);
    }
    const round = (number: number) => [
      'sse-gap',
      ...Array.from({ length: 10 }, (_, i) => `${number} ${20 + i}`),
    ];
    expect(datas(stream)).toEqual([...(query ? ['first'] : []), ...round(1), ...round(2), ...round(3)]);
    stream.leave();
  });

  test('a worker that stood still for longer than the events live tells of a gap, and catches up', async () => {
    const stream = await open(nginx, '/events/paused');
    const paused = stream.headers['x-worker'] as string;
    const agent = await agentOfAnother(paused);
    let published = 0;
    const post = () => onConnection(agent, 'POST', '/brief/paused', String(++published));
    await post();
    await stream.untilEvents(1);
    await nginx.sh(`kill -STOP ${paused}`);
    try {
      await eventually(post, ({ events }) => events < published - 1);
    } finally {
      await nginx.sh(`kill -CONT ${paused}`);
    }
    await post();
    await stream.until(({ events }) => events.at(-1)?.data === String(published));
    agent.destroy();
    const gap = stream.events.findIndex(({ event }) => event === 'sse-gap');
    expect(gap).toBeGreaterThan(0);
    const { missed } = JSON.parse(stream.events[gap]!.data);
    const numbers = datas(stream).filter((data) => data !== 'sse-gap');
    const all = Array.from({ length: published }, (_, i) => String(i + 1));
    expect(numbers).toEqual([...all.slice(0, gap), ...all.slice(gap + missed)]);
    stream.leave();
  });

  /** One connection, to a worker other than this one. */
  async function agentOfAnother(worker: string): Promise<Agent> {
    for (;;) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      if ((await onConnection(agent, 'GET', '/publish/paused')).worker !== worker) {
        return agent;
      }
      agent.destroy();
    }
  }

  async function onConnection(
    agent: Agent,
    method: string,
    path: string,
    body = '',
  ): Promise<{ worker: string; events: number }> {
    const outgoing = request(`${nginx.url}${path}`, { agent, method });
    outgoing.end(body);
    const [reply] = (await once(outgoing, 'response')) as [IncomingMessage];
    const state = JSON.parse((await reply.toArray()).join(''));
    return { worker: reply.headers['x-worker'] as string, events: state.events };
  }

  test("an id that is a position in the channel's own log is replaced", async () => {
    const { id } = await publish(nginx, 'forged', 'one');
    const epoch = id!.split('-')[0];
    const forged = await publish(nginx, 'forged', 'two', { 'X-EventSource-ID': `${epoch}-6` });
    expect(forged.id).toBe(`${epoch}-2`);
    await bulk('/publish/forged', ['3', '4', '5', '6', '7', '8']);
    const stream = await open(nginx, '/events/forged', { 'Last-Event-ID': forged.id! });
    await stream.untilEvents(6);
    expect(datas(stream)).toEqual(['3', '4', '5', '6', '7', '8']);
    stream.leave();
  });

  test('a client whose stream ends while its id is looked for is told before that', async () => {
    await publish(nginx, 'brief', 'there');
    const stream = await open(nginx, '/brief-stream/brief', { 'Last-Event-ID': 'unknown' });
    await stream.until(({ ended }) => ended);
    expect(datas(stream)).toEqual(['sse-gap', 'there']);
  });

  test('a client that is cut off at its backlog goes on after what it was sent, though the id is used again', async () => {
    const text = 'x'.repeat(900000);
    for (let i = 1; i <= 6; i++) {
      await publish(nginx, 'same', `${i} ${text}`, { 'X-EventSource-ID': 'same' });
    }
    const received: string[] = [];
    let id = '';
    while (received.at(-1) !== '6') {
      const headers = id ? { 'Last-Event-ID': id } : {};
      const stream = await open(nginx, `/narrow/same${id ? '' : '?history=all'}`, headers);
      await stream.until(({ ended, events }) => ended || events.at(-1)?.data[0] === '6');
      stream.leave();
      received.push(...datas(stream).map((data) => data![0]!));
      id = stream.lastEventId;
    }
    expect(received).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  test('a client that returns with another list of channels has no gap in the new one', async () => {
    for (const channel of ['l1', 'l2', 'l3']) {
      await publish(nginx, channel, `${channel} old`);
    }
    const before = await open(nginx, '/events/l1,l2');
    await publish(nginx, 'l2', 'l2 new');
    const id = (await before.untilEvents(1))[0]!.id!;
    before.leave();
    await publish(nginx, 'l1', 'l1 missed');
    const after = await open(nginx, '/events/l1,l3', { 'Last-Event-ID': id });
    await after.untilEvents(1);
    await publish(nginx, 'l3', 'l3 new');
    await after.untilEvents(2);
    expect(datas(after)).toEqual(['l1 missed', 'l3 new']);
    after.leave();

    // Cut off before its first event there, it misses nothing either.
    const start = /id: (.*)\nevent: sse-start\n/.exec(after.text)![1]!;
    const again = await open(nginx, '/events/l1,l3', { 'Last-Event-ID': start });
    await again.untilEvents(2);
    expect(datas(again)).toEqual(['l1 missed', 'l3 new']);
    again.leave();
  });

  test('npm eventsource, cut off before its first event, misses nothing', async () => {
    const received: string[] = [];
    let starts = 0;
    const source = new NpmEventSource(`${nginx.url}/small/early`, {
      fetch: async (url, init) => {
        const reply = await fetch(url, init);
        if (starts > 0) {
          return reply;
        }
        // The first stream breaks off after what it begins with.
        const reader = reply.body!.getReader();
        const { value } = await reader.read();
        await reader.cancel();
        return new Response(new Blob([value!]).stream(), reply);
      },
    });
    source.onmessage = ({ data }) => received.push(data);
    source.addEventListener('sse-start', () => starts++);
    await eventually(
      async () => starts,
      (count) => count === 1,
    );
    await publish(nginx, 'early', 'while away');
    await eventually(
      async () => received,
      ({ length }) => length === 1,
    );
    expect(received).toEqual(['while away']);
    source.close();
  });

  test('an empty $sse_channel does not let the path choose', async () => {
    await publish(nginx, 'room', 'private');
    for (const [path, method] of [
      ['/my/room?history=all', 'GET'],
      ['/mine/room', 'POST'],
    ] as const) {
      const refused = await send(nginx, path, { method });
      expect([refused.status, refused.json]).toEqual([403, { error: 'no channel is set for you' }]);
    }
    const mine = await open(nginx, '/my/room?history=all', { 'X-Room': 'room' });
    expect((await mine.untilEvents(1))[0]!.data).toBe('private');
    mine.leave();
    expect(await nginx.log()).toMatch(/\[error\].*auth_request_set \$sse_channel/);
  });
});

/** Fills the counters as a stranger would who subscribes to any name. */
const FILL = `
function fill(r) {
    let i = 0;
    try {
        for (;;) {
            ngx.shared.sse_count.set('/random-' + i++, i);
        }
    } catch (e) {
        r.return(200, String(i));
    }
}
export default { fill };
`;

describe.each(allEngines)('full zones (%s)', (engine) => {
  const NO_MEMORY = /ngx_slab_alloc\(\) failed: no memory in js shared zone "sse_count"/;

  test('counters that are full cost those who resume nothing but their being counted', async () => {
    const nginx = await startNginx({
      engine,
      http: 'js_import fill from /etc/nginx/fill.js;',
      server: `${PUBLISH_AND_SUBSCRIBE} location /fill { js_content fill.fill; }`,
      files: {
        '/etc/nginx/fill.js': FILL,
        '/etc/nginx/sse/zones.conf': `js_shared_dict_zone zone=sse_log:4m timeout=1h;
          js_shared_dict_zone zone=sse_count:128k type=number timeout=1h;`,
      },
    });
    const { id } = await publish(nginx, 'known', '1');
    await publish(nginx, 'known', '2');
    await send(nginx, '/fill');
    const stream = await open(nginx, '/events/known', { 'Last-Event-ID': id! });
    expect(stream.status).toBe(200);
    expect((await stream.untilEvents(1))[0]!.data).toBe('2');
    await publish(nginx, 'known', '3');
    await stream.untilEvents(2);
    stream.leave();
    const unknown = await send(nginx, '/events/unknown');
    expect([unknown.status, unknown.json.error]).toEqual([507, expect.stringMatching(/sse_count/)]);
    await nginx.stop(NO_MEMORY);
  });
});

test('events that a full log refuses take no place: nobody is told of a gap, nobody waits', async () => {
  const nginx = await startNginx({
    server: `${PUBLISH_AND_SUBSCRIBE}
      location /long/ { allow all; set $sse_history 1000; include sse/publisher.conf; }`,
    files: {
      '/etc/nginx/sse/zones.conf': `js_shared_dict_zone zone=sse_log:256k timeout=1h;
        js_shared_dict_zone zone=sse_count:128k type=number timeout=1h;`,
    },
  });
  const streams = await Promise.all(Array.from({ length: 4 }, () => open(nginx, '/events/full')));
  const post = (location: string, body: string) => send(nginx, `/${location}/full`, { method: 'POST', body });
  const statuses: number[] = [];
  for (let i = 0; i < 100; i++) {
    statuses.push((await post('long', `${i} ${'x'.repeat(4000)}`)).status);
  }
  const accepted = statuses.filter((status) => status === 201).length;
  expect(statuses).toEqual([...Array(accepted).fill(201), ...Array(100 - accepted).fill(507)]);
  expect(accepted).toBeLessThan(90);
  for (const stream of streams) {
    await stream.untilEvents(accepted);
  }
  await send(nginx, '/publish/full', { method: 'DELETE' });
  expect((await post('long', 'after it')).status).toBe(202);
  for (const stream of streams) {
    await stream.until(({ ended }) => ended);
    expect(datas(stream)).toHaveLength(accepted);
    expect(datas(stream)).not.toContain('sse-gap');
  }
  expect(await nginx.log()).not.toMatch(/\[(crit|warn)\].*(sse|slab)/);
  await nginx.stop();
});
