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

function startEdge(origin: Nginx): Promise<Nginx> {
  return startNginx({
    server: PUBLISH_AND_SUBSCRIBE,
    http: `server {
      include sse/inner.conf;
      server_name news;
      location / {
        proxy_pass http://${bridgeAddress()}:${origin.port}/events/news?history=all;
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
