import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { open, publish, send } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

/** Does to shared memory what a killed worker or an hour of silence would do. */
const SABOTAGE = `
const counts = ngx.shared.sse_count;

function epochOf(r) {
    return counts.get('/' + r.args.channel).toString(36);
}
function abandon(r) {
    r.return(200, String(counts.incr(epochOf(r) + '.last', 1)));
}
function forget(r) {
    const epoch = epochOf(r);
    counts.delete('/' + r.args.channel);
    counts.delete(epoch + '.last');
    counts.delete(epoch + '.first');
    r.return(200);
}
export default { abandon, forget };
`;

describe.each(allEngines)('lifetime (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      http: 'js_import sabotage from /etc/nginx/sabotage.js;',
      server: `${PUBLISH_AND_SUBSCRIBE}
        location /abandon { js_content sabotage.abandon; }
        location /forget { js_content sabotage.forget; }`,
      files: { '/etc/nginx/sabotage.js': SABOTAGE },
    });
  });
  afterAll(() => nginx.stop());

  test('a stream that has grown too much ends after an event, and the client resumes with nothing missing', async () => {
    const large = 'x'.repeat(50000);
    const stream = await open(nginx, '/events/large');
    let published = 0;
    while (!stream.ended) {
      await publish(nginx, 'large', `${++published} ${large}`);
      await stream.until(({ ended, events }) => ended || events.length === published);
    }
    expect(stream.text.length).toBeGreaterThan(1048576 / 5);
    expect(stream.text).toMatch(/\nretry: [0-9]{1,3}\n$/);

    await publish(nginx, 'large', `${++published} last`);
    const rest = await open(nginx, '/events/large', { 'Last-Event-ID': stream.events.at(-1)!.id! });
    await rest.until(({ events }) => events.at(-1)?.data === `${published} last`);
    const numbers = [...stream.events, ...rest.events].map(({ data }) => Number(data.split(' ')[0]));
    expect(numbers).toEqual(Array.from({ length: published }, (_, i) => i + 1));
    rest.leave();
  });

  test('a place that its publisher never filled is skipped, said once, and the same for all', async () => {
    const streams = await Promise.all(Array.from({ length: 6 }, () => open(nginx, '/events/abandoned')));
    await publish(nginx, 'abandoned', '1');
    await send(nginx, '/abandon?channel=abandoned');
    await publish(nginx, 'abandoned', '2');
    await Promise.all(streams.map((stream) => stream.untilEvents(2)));
    await publish(nginx, 'abandoned', '3');
    for (const stream of streams) {
      await stream.untilEvents(3);
      expect(stream.events.map(({ event, data }) => event ?? data)).toEqual(['1', '2', '3']);
      stream.leave();
    }
    const late = await open(nginx, '/events/abandoned?history=all');
    await late.untilEvents(3);
    expect(late.events.map(({ event, data }) => event ?? data)).toEqual(['1', '2', '3']);
    late.leave();
    const warnings = (await nginx.log()).match(
      /\[warn\].*sse: channel "abandoned": place [0-9a-z]+-2 stayed empty, skipped/g,
    );
    expect(warnings).toHaveLength(1);
  });

  test('a subscriber outlives a channel that was forgotten, and its id is a new one', async () => {
    const stream = await open(nginx, '/events/forgotten');
    const old = await publish(nginx, 'forgotten', '1');
    await stream.untilEvents(1);
    await send(nginx, '/forget?channel=forgotten');
    await stream.until(({ text }) =>
      /data: 1\n\nid: [0-9a-z]+-0\nevent: sse-start\ndata: {}\n\n$/.test(text),
    );
    const { id, subscribers } = await publish(nginx, 'forgotten', '2');
    expect(subscribers).toBe(1);
    expect(id).toMatch(/-1$/);
    expect(id).not.toBe(old.id);
    expect((await stream.untilEvents(2))[1]).toMatchObject({ data: '2', id });
    stream.leave();
  });

  test('an id from before a restart, which loses the logs, is recognised', async () => {
    const old = await publish(nginx, 'restart', 'old');
    const before = (await nginx.log()).length;
    await nginx.restart();
    const fresh = await publish(nginx, 'restart', 'new');
    expect(fresh.id!.split('-')[0]).not.toBe(old.id!.split('-')[0]);
    const stream = await open(nginx, '/events/restart', { 'Last-Event-ID': old.id! });
    await stream.untilEvents(2);
    expect(JSON.parse(stream.events[0]!.data)).toEqual({
      channel: 'restart',
      lastEventId: old.id,
      missed: null,
      oldest: fresh.id,
    });
    expect(stream.events[1]).toMatchObject({ data: 'new' });
    stream.leave();
    expect((await nginx.log()).length).toBeGreaterThan(before);
  });
});
