import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, type Stream, send, subscribers } from './client.ts';
import { allEngines, changed, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const PUBLISHERS = 10;
const SUBSCRIBERS = 50;
const EVENTS = 10000;

describe.each(allEngines)('two workers (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      server: `${PUBLISH_AND_SUBSCRIBE}
        location /long/ { allow all; set $sse_history 20000; include sse/publisher.conf; }`,
    });
  });
  afterAll(() => nginx.stop());

  test('share their channels: what one publishes, subscribers of both receive', async () => {
    const streams = await onBothWorkers(() => open(nginx, '/events/shared'));
    const workers = new Set<string>();
    while (workers.size < 2) {
      const answer = await send(nginx, '/publish/shared', {
        method: 'POST',
        body: 'x',
        headers: { connection: 'close' },
      });
      workers.add(answer.headers.get('x-worker')!);
      expect(answer.json.subscribers).toBe(streams.length);
    }
    const published = (await send(nginx, '/publish/shared')).json.events;
    await Promise.all(streams.map((stream) => stream.untilEvents(published)));
    for (const stream of streams) {
      stream.leave();
    }
  });

  test(`${PUBLISHERS} publishers, ${SUBSCRIBERS} subscribers, ${EVENTS} events: each has every event once, in one order`, async () => {
    const subscribers = await Promise.all(
      Array.from({ length: SUBSCRIBERS }, () => follow(nginx, 'load', EVENTS)),
    );
    expect(new Set(subscribers.map(({ worker }) => worker)).size).toBe(2);

    await Promise.all(
      Array.from({ length: PUBLISHERS }, async (_, publisher) => {
        for (let i = 0; i < EVENTS / PUBLISHERS; i++) {
          const answer = await send(nginx, '/long/load', { method: 'POST', body: `${publisher} ${i}` });
          expect(answer.status).toBe(201);
        }
      }),
    );
    const sequences = await Promise.all(subscribers.map(({ datas }) => datas));

    const inLog = await (await follow(nginx, 'load?history=all', EVENTS)).datas;
    expect(new Set(inLog).size).toBe(EVENTS);
    for (let publisher = 0; publisher < PUBLISHERS; publisher++) {
      const own = inLog.filter((data) => data.startsWith(`${publisher} `));
      expect(own).toEqual(Array.from({ length: EVENTS / PUBLISHERS }, (_, i) => `${publisher} ${i}`));
    }
    for (const sequence of sequences) {
      expect(sequence).toEqual(inLog);
    }
  });

  async function onBothWorkers(openOne: () => Promise<Stream>): Promise<Stream[]> {
    const streams: Stream[] = [];
    while (new Set(streams.map(({ headers }) => headers['x-worker'])).size < 2 || streams.length < 4) {
      streams.push(await openOne());
    }
    return streams;
  }
});

test('the subscribers of a killed worker are uncounted, those of the other one stay', async () => {
  const nginx = await startNginx({
    server: `set $sse_heartbeat 1s; ${PUBLISH_AND_SUBSCRIBE}`,
    // In place of 90 seconds, which begin anew with every other heartbeat.
    files: {
      ...changed('subscriber.js', '%9e4)/9e4', '%2e3)/2e3'),
      ...changed('publisher.js', 'WINDOW=9e4', 'WINDOW=2e3'),
    },
  });
  const streams: Stream[] = [];
  const workerOf = ({ headers }: Stream) => headers['x-worker'];
  while (new Set(streams.map(workerOf)).size < 2 || streams.length < 6) {
    streams.push(await open(nginx, '/events/counted'));
  }
  expect(await subscribers(nginx, 'counted')).toBe(streams.length);
  const left = streams.filter((stream) => workerOf(stream) !== workerOf(streams[0]!));
  await nginx.sh(`kill -9 ${workerOf(streams[0]!)}`);
  await eventually(
    // The connection that fetch has kept may lead to the worker that is no more.
    () => subscribers(nginx, 'counted').catch(() => undefined),
    (count) => count === left.length,
  );
  for (const { leave } of left) {
    leave();
  }
  await nginx.stop(/exited on signal 9/);
});

/** Subscribes, resuming as an EventSource does whenever the server ends the stream. */
async function follow(
  nginx: Nginx,
  channel: string,
  count: number,
): Promise<{ worker: string; datas: Promise<string[]> }> {
  const first = await open(nginx, `/events/${channel}`);
  const receive = async () => {
    const datas: string[] = [];
    let stream = first;
    let id = '';
    for (;;) {
      await stream.until(({ events, ended }) => ended || datas.length + events.length >= count);
      datas.push(...stream.events.map(({ data }) => data));
      id = stream.lastEventId || id;
      stream.leave();
      if (datas.length >= count) {
        return datas;
      }
      stream = await open(nginx, `/events/${channel}`, { 'Last-Event-ID': id });
    }
  };
  return { worker: first.headers['x-worker'] as string, datas: receive() };
}
