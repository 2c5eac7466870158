import fs from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { shutDown } from './title.ts';
import { batches, counts, log } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });
vi.stubEnv('NJS_SSE_DOORBELL', '1');
vi.stubGlobal('njs', { engine: 'QuickJS', on() {} });
const { default: subscriber } = await import('../../src/subscriber.ts');
const { append } = await import('../../src/channel/append.ts');

/** What ends the waits that stand. */
let waits: (() => void)[];
/** How many streams have ended. */
let ended = 0;

beforeEach(() => {
  for (const zone of [counts, log, batches]) {
    zone.entries.clear();
  }
  waits = [];
  ended = 0;
  Object.assign(ngx, {
    fetch: () => new Promise((_, reject) => waits.push(() => reject(new Error('no such name')))),
  });
});
afterEach(() => {
  vi.clearAllTimers();
});

/** Tells what the subscriber has received since the last call. */
function subscribe(channels: string, variables: Record<string, string> = {}) {
  const received: string[] = [];
  const r = {
    method: 'GET',
    uri: `/events/${channels}`,
    args: {},
    headersIn: {},
    headersOut: {},
    variables,
    sendHeader() {},
    send: (text: string) => received.push(text),
    finish() {
      ended++;
    },
    error(message: string) {
      throw new Error(message);
    },
  };
  subscriber.subscribe(r as unknown as NginxHTTPRequest);
  received.length = 0;
  return () => received.splice(0).flatMap((text) => /data: .*/.exec(text) ?? []);
}

const publish = (channel: string, data: string) => append(channel, { data }, { history: 100, ttl: 60000 });

async function wake(): Promise<void> {
  for (const end of waits.splice(0)) {
    end();
  }
  await vi.advanceTimersByTimeAsync(0);
}

test('who is woken sends at once, and waits anew when the others have got theirs', async () => {
  const all = Array.from({ length: 100 }, () => subscribe('many'));
  // To learn how many they are.
  await wake();
  await vi.advanceTimersByTimeAsync(5);
  publish('many', '1');
  await wake();
  expect(all.map((received) => received())).toEqual(Array(100).fill(['data: 1']));
  await vi.advanceTimersByTimeAsync(4);
  expect(waits).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(2);
  expect(waits).toHaveLength(100);
});

test('who is woken for nothing waits anew at once', async () => {
  const received = subscribe('one');
  await wake();
  await vi.advanceTimersByTimeAsync(1);
  expect(waits).toHaveLength(1);
  expect(received()).toEqual([]);
});

test('so does one of several channels, after a time in which events followed each other', async () => {
  const received = subscribe('one,other', { sse_poll: '100ms' });
  publish('one', '1');
  await wake();
  publish('other', '2');
  await vi.advanceTimersByTimeAsync(2000);
  expect(received()).toEqual(['data: 1', 'data: 2']);
  expect(waits).toHaveLength(1);
  await wake();
  await vi.advanceTimersByTimeAsync(2);
  expect(waits).toHaveLength(1);
});

test('events that come before all have got theirs are sent soon, however many there are', async () => {
  const all = [subscribe('crowd'), subscribe('crowd')];
  const leases = [...counts.entries].find(([key]) => key.includes('.subscribers.'))![0];
  counts.set(leases, 100000);
  await wake();
  await vi.advanceTimersByTimeAsync(5);
  publish('crowd', '1');
  await wake();
  publish('crowd', '2');
  await vi.advanceTimersByTimeAsync(250);
  publish('crowd', '3');
  await vi.advanceTimersByTimeAsync(30);
  expect(all.map((received) => received())).toEqual(Array(2).fill(['data: 1', 'data: 2', 'data: 3']));
});

test('a wait that ends late, when the heartbeat has found the event, starts nothing', async () => {
  const received = subscribe('one');
  publish('one', '1');
  await vi.advanceTimersByTimeAsync(45000);
  expect(received()).toEqual(['data: 1']);
  await wake();
  await vi.advanceTimersByTimeAsync(2);
  expect(waits).toHaveLength(1);
});

test('one that comes between reading and waiting anew is sent', async () => {
  const received = subscribe('one');
  publish('one', '1');
  await wake();
  publish('one', '2');
  await vi.advanceTimersByTimeAsync(2);
  expect(received()).toEqual(['data: 1', 'data: 2']);
  expect(waits).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(2000);
  expect(waits).toHaveLength(1);
});

test.each(['one', 'one,other'])(
  'who is woken when the worker shuts down does not wait anew: nobody would hear of it (%s)',
  async (channels) => {
    subscriber.serve();
    const received = subscribe(channels);
    await vi.advanceTimersByTimeAsync(250);
    publish('one', '1');
    const title = shutDown();
    await wake();
    await vi.advanceTimersByTimeAsync(1000);
    title.mockRestore();
    expect(received()).toEqual(['data: 1']);
    expect(waits).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(9000);
    expect(ended).toBe(1);
  },
);

test('nor does who has followed events until then', async () => {
  subscriber.serve();
  const received = subscribe('busy');
  await wake();
  for (let i = 1; i <= 5; i++) {
    publish('busy', String(i));
    await wake();
    await vi.advanceTimersByTimeAsync(100);
  }
  const title = shutDown();
  await vi.advanceTimersByTimeAsync(1000);
  title.mockRestore();
  expect(received()).toHaveLength(5);
  expect(waits).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(9000);
  expect(ended).toBe(1);
});

test.each([
  [3, 0],
  [200, 1],
])('of %i who are woken in a worker that has just served %i look at its title', async (count, looks) => {
  for (let i = 0; i < count; i++) {
    subscribe('many');
  }
  // To learn how many they are.
  await wake();
  await vi.advanceTimersByTimeAsync(5);
  subscriber.serve();
  await vi.advanceTimersByTimeAsync(100);
  const title = vi.spyOn(fs, 'readSync');
  await wake();
  await vi.advanceTimersByTimeAsync(5);
  expect(waits).toHaveLength(count);
  expect(title).toHaveBeenCalledTimes(looks);
  title.mockRestore();
});

test('streams of a worker that shuts down end one by one, nearly all the time that they have', async () => {
  subscriber.serve();
  for (let i = 0; i < 100; i++) {
    subscribe(`channel-${i}`);
  }
  await vi.advanceTimersByTimeAsync(250);
  const title = shutDown();
  await wake();
  const ends: number[] = [];
  for (let second = 0; second < 9; second++) {
    await vi.advanceTimersByTimeAsync(1000);
    ends.push(ended);
  }
  title.mockRestore();
  const each = ends.map((count, second) => count - (ends[second - 1] ?? 0));
  expect(Math.min(...each)).toBeGreaterThan(0);
  await vi.advanceTimersByTimeAsync(500);
  expect(ended).toBe(100);
});
