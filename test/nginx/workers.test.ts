import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { open, type Stream, send } from './client.ts';
import { engines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const PUBLISHERS = 10;
const SUBSCRIBERS = 50;
const EVENTS = 10000;

describe.each(engines)('two workers (%s)', (engine) => {
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
      id = stream.events.at(-1)?.id ?? id;
      stream.leave();
      if (datas.length >= count) {
        return datas;
      }
      stream = await open(nginx, `/events/${channel}`, { 'Last-Event-ID': id });
    }
  };
  return { worker: first.headers['x-worker'] as string, datas: receive() };
}
