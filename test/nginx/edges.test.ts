import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { open, publish, type Stream } from './client.ts';
import { type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { bridgeAddress } from './sse-server.ts';

const EVENTS = 300;
const EVENTS_A_STAY = 20;

test('a client that moves from edge to edge of one origin has every event once, in order', async () => {
  const origin = await startNginx({ server: `set $sse_history 1000; ${PUBLISH_AND_SUBSCRIBE}` });
  const edges = await Promise.all([startEdge(origin), startEdge(origin)]);
  await publish(origin, 'news', '0');

  const received: string[] = [];
  await Promise.all([roam(edges, received), publishAll(origin)]);
  expect(received).toEqual(Array.from({ length: EVENTS + 1 }, (_, i) => String(i)));
  await Promise.all(edges.map((edge) => edge.stop(/prematurely closed connection/, /sse: upstream of "/)));
  await origin.stop();
});

async function publishAll(origin: Nginx): Promise<void> {
  for (let i = 1; i <= EVENTS; i++) {
    // Some with ids of their own, some with ids of the origin's making.
    await publish(origin, 'news', String(i), i % 3 === 0 ? { 'X-EventSource-ID': `own ${i}` } : {});
  }
}

test('a client waits at an edge that lags until its id arrives there, and is told of no gap', async () => {
  const origin = await startNginx({ server: `set $sse_history 1000; ${PUBLISH_AND_SUBSCRIBE}` });
  await publish(origin, 'news', '1');
  const line = await startLine(origin.port);
  const ahead = await startEdge(origin);
  const behind = await startEdge(origin, line.port);
  const first = await open(behind, '/events/news?history=all');
  await first.untilEvents(1);
  first.leave();
  line.stop();

  const stream = await open(ahead, '/events/news?history=all');
  for (let i = 2; i <= 50; i++) {
    await publish(origin, 'news', String(i));
  }
  const { id } = (await stream.untilEvents(50))[49]!;
  stream.leave();
  const moved = await open(behind, '/events/news', { 'Last-Event-ID': id! });
  // For longer than an id is looked for that nothing tells about.
  await moved.until(({ text }) => text.split('\n:').length > 6);
  line.goOn();
  await publish(origin, 'news', '51');
  await moved.untilEvents(1);
  expect(moved.events.map(({ event, data }) => event ?? data)).toEqual(['51']);
  moved.leave();
  await Promise.all(
    [ahead, behind].map((edge) => edge.stop(/prematurely closed connection/, /sse: upstream of "/)),
  );
  await line.close();
  await origin.stop();
});

/** A line to a port of this machine that can be stopped: what is sent meanwhile comes later. */
async function startLine(
  port: number,
): Promise<{ port: number; stop(): void; goOn(): void; close(): Promise<void> }> {
  const sockets: Socket[] = [];
  let isStopped = false;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far);
    far.on('data', (chunk) => near.write(chunk));
    for (const socket of [near, far]) {
      socket.on('error', () => {});
      socket.on('close', () => [near, far].forEach((one) => void one.destroy()));
    }
    sockets.push(far);
    if (isStopped) {
      far.pause();
    }
  });
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      isStopped = true;
      sockets.forEach((socket) => void socket.pause());
    },
    goOn: () => {
      isStopped = false;
      sockets.forEach((socket) => void socket.resume());
    },
    close: async () => {
      sockets.forEach((socket) => void socket.destroy());
      server.close();
      await once(server, 'close');
    },
  };
}

function startEdge(origin: Nginx, port = origin.port): Promise<Nginx> {
  return startNginx({
    server: `set $sse_heartbeat 500ms; ${PUBLISH_AND_SUBSCRIBE}`,
    http: `server {
      include sse/inner.conf;
      server_name news;
      location / {
        proxy_pass http://${bridgeAddress()}:${port}/events/news?history=all;
        set $sse_history 1000;
        include sse/upstream.conf;
      }
    }`,
  });
}

/** Follows the events until the last one, and moves to the next edge after some of them. */
async function roam(edges: Nginx[], received: string[]): Promise<void> {
  let id: string | undefined;
  for (let stay = 0; received.at(-1) !== String(EVENTS); stay++) {
    const edge = edges[stay % edges.length]!;
    const stream: Stream = id
      ? await open(edge, '/events/news', { 'Last-Event-ID': id })
      : await open(edge, '/events/news?history=all');
    await stream.until(
      ({ events }) => events.length >= EVENTS_A_STAY || events.at(-1)?.data === String(EVENTS),
    );
    stream.leave();
    const events = stream.events.slice();
    expect(events.filter(({ event }) => event === 'sse-gap')).toEqual([]);
    received.push(...events.map(({ data }) => data));
    id = events.at(-1)!.id!;
  }
}
