import { describe, expect, test } from 'vitest';
import { eventually, open, publish, subscribers } from './client.ts';
import { privateMemory } from './memory.ts';
import { allEngines, startNginx } from './nginx.ts';

const CLIENTS = 200;
const EVENTS = 60;
const DATA = 'x'.repeat(10000);
const BACKLOG = 64;

describe.each(allEngines)('slow clients (%s)', (engine) => {
  test(`${CLIENTS} that never read beside ${CLIENTS} that do: memory is bounded, and nobody else misses anything`, async () => {
    const settings = `set $sse_history 1000; set $sse_budget 100m; set $sse_backlog ${BACKLOG}k;`;
    const locations = `location /publish/ { allow all; include sse/publisher.conf; }
      location /events/ { include sse/subscriber.conf; }`;
    const nginx = await startNginx({
      engine,
      server: settings + locations,
      // The kernel buffers for a client, too; here as little as it can.
      http: `server { listen 127.0.0.1:8081 sndbuf=16k; ${settings} ${locations} }`,
    });
    const readers = await Promise.all(Array.from({ length: CLIENTS }, () => open(nginx, '/events/load')));
    await nginx.sh(
      `bash -c 'for i in $(seq 10 ${9 + CLIENTS}); do
        eval "exec $i<>/dev/tcp/127.0.0.1/8081"
        printf "GET /events/load HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" >&$i
      done; sleep 120' > /dev/null 2>&1 &`,
    );
    await eventually(
      () => subscribers(nginx, 'load'),
      (count) => count === 2 * CLIENTS,
    );
    const before = await privateMemory(nginx);

    for (let i = 1; i <= EVENTS; i++) {
      await publish(nginx, 'load', `${i} ${DATA}`);
      await Promise.all(readers.map((reader) => reader.untilEvents(i)));
    }
    for (const reader of readers) {
      expect(reader.events.map(({ data }) => Number(data.split(' ')[0]))).toEqual(
        Array.from({ length: EVENTS }, (_, i) => i + 1),
      );
    }
    await eventually(
      () => subscribers(nginx, 'load'),
      (count) => count === CLIENTS,
    );
    const each = ((await privateMemory(nginx)) - before) / (2 * CLIENTS);
    const sent = (EVENTS * DATA.length) / 1024;
    console.log(`${engine}: ${Math.round(each)} KB a client, to whom ${Math.round(sent)} KB were sent`);
    // What is sent stays in the requests of those who read; those who do not are ended at their backlog.
    expect(each).toBeLessThan(3 * sent);
    for (const reader of readers) {
      reader.leave();
    }
    await nginx.stop();
  });
});
