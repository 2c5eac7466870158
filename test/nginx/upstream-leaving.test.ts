import { describe, expect, test } from 'vitest';
import { eventually, publish, send } from './client.ts';
import { type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { resuming } from './resuming.ts';
import { type SseServer, startSseServer } from './sse-server.ts';

function follows(upstream: SseServer, path: string): string {
  return `server {
    include sse/inner.conf;
    server_name news;
    location / {
      proxy_pass http://${upstream.address}${path};
      set $sse_history 100000;
      include sse/upstream.conf;
    }
  }`;
}

/** nginx with an upstream that a reload can change, in a file of its own. */
async function start(upstream: SseServer): Promise<Nginx> {
  const nginx = await startNginx({
    http: 'include /tmp/upstream.con[f];',
    server: PUBLISH_AND_SUBSCRIBE,
  });
  await reload(nginx, follows(upstream, '/0'));
  await connections(upstream, 1);
  return nginx;
}

async function reload(nginx: Nginx, configuration: string): Promise<void> {
  await nginx.sh(`cat > /tmp/upstream.conf <<'END'\n${configuration}\nEND\nkill -HUP 1`);
}

const connections = (upstream: SseServer, count: number) =>
  eventually(
    async () => upstream.connections.length,
    (length) => length === count,
  );
const EXPECTED = [/Connection refused/, /prematurely closed connection/, /sse: upstream of "/];

async function hasLeft(nginx: Nginx): Promise<void> {
  await eventually(nginx.isRunning, (isRunning) => !isRunning);
}

describe('quit', () => {
  test('ends with the next chunk of an upstream', async () => {
    const upstream = await startSseServer();
    const nginx = await start(upstream);
    const ticks = setInterval(() => upstream.write('data: tick\n\n'), 20);
    await eventually(
      async () => (await send(nginx, '/publish/news')).json?.events ?? 0,
      (events) => events > 10,
    );
    await nginx.sh('kill -QUIT 1');
    await hasLeft(nginx);
    clearInterval(ticks);
    expect(upstream.connections).toHaveLength(1);
    await upstream.close();
    await nginx.restart();
    await nginx.stop(...EXPECTED);
  });

  test('ends while an upstream is waited for', async () => {
    const upstream = await startSseServer();
    const nginx = await start(upstream);
    upstream.write('retry: 1000000000000000000000\n\ndata: last\n\n');
    await eventually(
      async () => (await send(nginx, '/publish/news')).json?.events,
      (events) => events === 1,
    );
    upstream.open()[0]!.response.end();
    await eventually(
      async () => upstream.open().length,
      (count) => count === 0,
    );
    await nginx.sh('kill -QUIT 1');
    await hasLeft(nginx);
    expect(upstream.connections).toHaveLength(1);
    await upstream.close();
    await nginx.restart();
    await nginx.stop(...EXPECTED);
  });

  test('ends with a silent upstream after worker_shutdown_timeout', async () => {
    const upstream = await startSseServer();
    const nginx = await startNginx({
      http: follows(upstream, '/0'),
      server: PUBLISH_AND_SUBSCRIBE,
      main: 'worker_shutdown_timeout 1s;',
    });
    await connections(upstream, 1);
    await nginx.sh('kill -QUIT 1');
    await hasLeft(nginx);
    await upstream.close();
    await nginx.restart();
    await nginx.stop(...EXPECTED, /pending events/);
  });
});

describe('a reload', () => {
  const RELOADS = 5;

  test('with another upstream follows that one only', async () => {
    const upstream = await startSseServer();
    const nginx = await start(upstream);
    const ticks = setInterval(() => upstream.write('data: tick\n\n'), 20);
    for (let i = 1; i <= RELOADS; i++) {
      await reload(nginx, follows(upstream, `/${i}`));
      await connections(upstream, i + 1);
      await eventually(
        async () => upstream.open().length,
        (count) => count === 1,
      );
    }
    clearInterval(ticks);
    expect(upstream.connections.map(({ path }) => path)).toEqual(['/0', '/1', '/2', '/3', '/4', '/5']);
    await upstream.close();
    await nginx.stop(...EXPECTED);
  });

  test('follows another upstream at once where the old one is silent', async () => {
    const upstream = await startSseServer();
    const nginx = await start(upstream);
    for (let i = 1; i <= RELOADS; i++) {
      await reload(nginx, follows(upstream, `/${i}`));
      await connections(upstream, i + 1);
    }
    expect(upstream.connections.map(({ path }) => path)).toEqual(['/0', '/1', '/2', '/3', '/4', '/5']);
    // All the old ones are still open, and end with what they send next, unread.
    upstream.write('data: from all\n\n');
    await eventually(
      async () => upstream.open().length,
      (count) => count === 1,
    );
    expect((await send(nginx, '/publish/news')).json.events).toBe(1);
    await upstream.close();
    await nginx.stop(...EXPECTED);
  });

  test('without the upstream ends with the next chunk of that one', async () => {
    const upstream = await startSseServer();
    const nginx = await start(upstream);
    await reload(nginx, '');
    await eventually(
      () => nginx.log(),
      (log) => log.split('gracefully shutting down').length > 4,
    );
    upstream.write('data: last\n\n');
    await eventually(
      async () => upstream.open().length,
      (count) => count === 0,
    );
    await eventually(
      () => nginx.log(),
      (log) => log.split('exited with code 0').length > 4,
    );
    expect(upstream.connections).toHaveLength(1);
    expect((await send(nginx, '/publish/news')).json.events).toBe(1);
    await upstream.close();
    await nginx.stop(...EXPECTED);
  });
});

test("events without ids are appended after others' events, on every connection", async () => {
  const upstream = await startSseServer();
  const nginx = await start(upstream);
  const received: string[] = [];
  const follower = resuming(nginx, 'news', (data) => received.push(data));
  const expected: string[] = [];
  for (let i = 1; i <= 3; i++) {
    upstream.write('data: same\n\ndata: same\n\n');
    expected.push('same', 'same', `posted ${i}`);
    await eventually(
      async () => received.length,
      (length) => length === expected.length - 1,
    );
    await publish(nginx, 'news', `posted ${i}`);
    await reload(nginx, follows(upstream, '/0'));
    await connections(upstream, i + 1);
  }
  await eventually(
    async () => received.length,
    (length) => length === expected.length,
  );
  expect(received).toEqual(expected);
  await follower.stop();
  await upstream.close();
  await nginx.stop(...EXPECTED);
});

test.each([
  ['has a control character', '\x01'],
  ['is longer than a header may be', 'x'.repeat(9000)],
])('an id that %s does not keep nginx from coming back', async (_, id) => {
  const upstream = await startSseServer();
  const nginx = await start(upstream);
  upstream.write(`retry: 20\nid: ${id}\ndata: x\n\n`);
  await eventually(
    async () => (await send(nginx, '/publish/news')).json?.events,
    (events) => events === 1,
  );
  upstream.open()[0]!.response.end();
  await connections(upstream, 2);
  expect(upstream.connections[1]!.headers['last-event-id']).toBeUndefined();
  await upstream.close();
  await nginx.stop(...EXPECTED);
});
