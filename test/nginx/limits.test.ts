import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, publish, type Stream } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { resuming } from './resuming.ts';

const RESUME = /\nretry: [0-9]{1,3}\n$/;

describe.each(allEngines)('limits of a stream (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      server: `set $sse_history 1000; ${PUBLISH_AND_SUBSCRIBE}
        location /short/ { set $sse_lifetime 1s; include sse/subscriber.conf; }
        location /small/ { set $sse_budget 20k; include sse/subscriber.conf; }
        location /slow/ { set $sse_backlog 64k; set $sse_heartbeat 1s; include sse/subscriber.conf; }`,
    });
  });
  afterAll(() => nginx.stop());

  test('$sse_lifetime ends it, and the client resumes with nothing missing', async () => {
    const received: string[] = [];
    const follower = resuming(nginx, 'lived', (data) => received.push(data), '/short');
    let published = 0;
    await eventually(
      async () => {
        await publish(nginx, 'lived', String(++published));
        return follower.streams();
      },
      (streams) => streams > 3,
    );
    await eventually(
      async () => received.length,
      (length) => length >= published,
    );
    await follower.stop();
    expect(received).toEqual(Array.from({ length: published }, (_, i) => String(i + 1)));
  });

  test('$sse_budget ends it after what it has grown by, at the end of an event', async () => {
    const stream = await open(nginx, '/small/budget');
    const data = 'x'.repeat(500);
    for (let published = 1; !stream.ended; published++) {
      await publish(nginx, 'budget', data);
      await stream.until(({ ended, events }) => ended || events.length === published);
    }
    expect(stream.text).toMatch(RESUME);
    expect(stream.events.length).toBeLessThan(20480 / 500);
    expect(stream.events.every((event) => event.data === data)).toBe(true);
  });

  test('a large replay does not count as backlog', async () => {
    const data = 'x'.repeat(10000);
    for (let i = 0; i < 20; i++) {
      await publish(nginx, 'replayed', data);
    }
    const stream: Stream = await open(nginx, '/slow/replayed?history=all');
    await stream.untilEvents(20);
    expect(stream.ended).toBe(false);
    stream.leave();
  });
});
