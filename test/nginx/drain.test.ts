import { describe, expect, test } from 'vitest';
import { eventually, open, publish, type Stream, subscribers } from './client.ts';
import { allEngines, engines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { resuming } from './resuming.ts';

const STREAMS = 40;

const setups = [
  ...allEngines.map((engine) => ({ engine, doorbell: false })),
  ...engines.map((engine) => ({ engine, doorbell: true })),
];

describe.each(setups)('after a reload ($engine, doorbell: $doorbell)', ({ engine, doorbell }) => {
  test('old workers end their streams one by one, leave, and nothing is missing', async () => {
    const nginx = await startNginx({
      engine,
      doorbell,
      server: `set $sse_history 1000; ${PUBLISH_AND_SUBSCRIBE}
        location /soon/ { set $sse_drain 1s; include sse/subscriber.conf; }`,
    });
    const streams = await Promise.all(Array.from({ length: STREAMS }, () => open(nginx, '/events/quiet')));
    const soon = await open(nginx, '/soon/quiet');
    const received: string[] = [];
    const follower = resuming(nginx, 'busy', (data) => received.push(data));
    await eventually(
      () => subscribers(nginx, 'busy'),
      (count) => count === 1,
    );
    await eventually(
      () => introduced(nginx),
      // Two workers, two locations.
      (count) => count === (doorbell ? 4 : 0),
    );
    const old = await workers(nginx);
    await nginx.sh('kill -HUP 1');

    // Some have ended while others have not: that is the spread.
    let published = 0;
    await eventually(
      async () => {
        await publish(nginx, 'busy', String(++published), { connection: 'close' });
        return ended(streams);
      },
      (count) => count > STREAMS / 10 && count < STREAMS,
    );
    await eventually(
      async () => {
        await publish(nginx, 'busy', String(++published), { connection: 'close' });
        return (await workers(nginx)).filter((pid) => old.includes(pid));
      },
      (left) => left.length === 0,
    );
    expect(ended(streams)).toBe(STREAMS);
    for (const { text } of [...streams, soon]) {
      expect(text).toMatch(/\nretry: [0-9]{1,3}\n$/);
    }
    await eventually(
      async () => received.length,
      (length) => length >= published,
    );
    await follower.stop();
    expect(received).toEqual(Array.from({ length: published }, (_, i) => String(i + 1)));
    expect(follower.streams()).toBeGreaterThan(1);
    await nginx.stop();
  });
});

describe.each(setups)('on quit ($engine, doorbell: $doorbell)', ({ engine, doorbell }) => {
  test('quiet streams end one by one, a busy one ends, and nginx is gone', async () => {
    const nginx = await startNginx({
      engine,
      doorbell,
      server: `set $sse_heartbeat 10m; ${PUBLISH_AND_SUBSCRIBE} location /other/ { include sse/subscriber.conf; }`,
    });
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, (_, i) =>
        open(nginx, `/${i % 2 ? 'events' : 'other'}/quiet-${i % 5}${i % 3 ? '' : ',quiet'}`),
      ),
    );
    // Two workers, two locations.
    await eventually(
      () => introduced(nginx),
      (count) => count === (doorbell ? 4 : 0),
    );
    const busy = await open(nginx, '/events/busy');
    for (let i = 1; i <= 4; i++) {
      await publish(nginx, 'busy', String(i), { connection: 'close' });
      await busy.untilEvents(i);
    }
    await nginx.sh('kill -QUIT 1');
    await eventually(
      async () => ended(streams),
      (count) => count > STREAMS / 10 && count < STREAMS,
    );
    await eventually(
      async () => ended(streams),
      (count) => count === STREAMS,
    );
    await busy.until(({ ended }) => ended);
    for (const { text } of [...streams, busy]) {
      // No other worker is there that could serve them soon.
      expect(text).toMatch(/\nretry: ([23][0-9]{3}|4000)\n$/);
    }
    await eventually(nginx.isRunning, (isRunning) => !isRunning);
    await nginx.restart();
    // What nginx repeats in the moment between.
    await nginx.stop(
      /(recv|send)\(\) failed \(111: Connection refused\) while resolving, resolver: 127\.0\.0\.1:8130/,
    );
  });
});

function ended(streams: Stream[]): number {
  return streams.filter((stream) => stream.ended).length;
}

/** How many resolvers have a connection to the doorbell that it has accepted (it has an inode then) and read. */
async function introduced(nginx: Nginx): Promise<number> {
  const accepted = ' 0100007F:1FC2 0100007F:.{4} 01 .{8}:00000000 .{2}:.{8} .{8} +[0-9]+ +[0-9]+ [1-9]';
  return Number(await nginx.sh(`grep -cE '${accepted}' /proc/net/tcp`));
}

/** The process ids of nginx's workers. */
async function workers(nginx: Nginx): Promise<string[]> {
  const lines = await nginx.sh(
    'for f in /proc/[0-9]*; do if head -c 13 $f/cmdline 2>/dev/null | grep -q "^nginx: worker"; then basename $f; fi; done',
  );
  return lines.trim().split('\n');
}
