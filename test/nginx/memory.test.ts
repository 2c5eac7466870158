import { describe, expect, test } from 'vitest';
import { eventually, open, publish } from './client.ts';
import { privateMemory } from './memory.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const EVENTS = 1000;
const SIZE = 200;
const CLIENTS = 50;
const IDLE = 400;
/** In KB, a tenth more than was measured. */
const KNOWN = { qjs: 410, njs: 61, 'njs 0.8.9': 78 };

describe.each(allEngines)('memory (%s)', (engine) => {
  test('a replay takes a few times its own size, and not a multiple of it for each event', async () => {
    const nginx = await startNginx({
      engine,
      server: `set $sse_history ${EVENTS}; ${PUBLISH_AND_SUBSCRIBE}`,
    });
    const event = `data: ${'x'.repeat(SIZE)}\n\n`;
    await publish(nginx, 'log', event.repeat(EVENTS), { 'Content-Type': 'text/event-stream' });
    const before = await privateMemory(nginx);
    const streams = await Promise.all(
      Array.from({ length: CLIENTS }, () => open(nginx, '/events/log?history=all')),
    );
    for (const stream of streams) {
      await stream.untilEvents(EVENTS);
    }
    const each = ((await privateMemory(nginx)) - before) / CLIENTS;
    console.log(
      `${engine}: a replay of ${Math.round((EVENTS * SIZE) / 1024)} KB takes ${Math.round(each)} KB`,
    );
    expect(each).toBeLessThan(400 + 8 * ((EVENTS * SIZE) / 1024));
    for (const stream of streams) {
      stream.leave();
    }
    await nginx.stop();
  });

  test('an idle subscriber holds no more than is known', async () => {
    const doorbell = engine !== 'njs 0.8.9';
    const nginx = await startNginx({ engine, doorbell, workers: 1, server: PUBLISH_AND_SUBSCRIBE });
    // What the first ones bring with them, such as the resolver, is not theirs.
    const first = await Promise.all(Array.from({ length: IDLE / 4 }, () => open(nginx, '/events/idle')));
    await settled(nginx);
    const before = await privateMemory(nginx);
    const streams = await Promise.all(Array.from({ length: IDLE }, () => open(nginx, '/events/idle')));
    await settled(nginx);
    const each = ((await privateMemory(nginx)) - before) / IDLE;
    console.log(`${engine}: an idle subscriber holds ${each.toFixed(1)} KB`);
    expect(each).toBeLessThan(KNOWN[engine]);
    for (const stream of [...first, ...streams]) {
      stream.leave();
    }
    await nginx.stop();
  });
});

/** Until all have begun to wait. */
async function settled(nginx: Nginx): Promise<void> {
  let last = -1;
  await eventually(
    () => privateMemory(nginx),
    (memory) => {
      const isSame = memory === last;
      last = memory;
      return isSame;
    },
  );
}
