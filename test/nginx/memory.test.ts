import { describe, expect, test } from 'vitest';
import { open, publish } from './client.ts';
import { privateMemory } from './memory.ts';
import { allEngines, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const EVENTS = 1000;
const SIZE = 200;
const CLIENTS = 50;

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
});
