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
function subscribe(channels: string, variables: Record<string, string> = {}, send = (_: string) => {}) {
  const received: string[] = [];
  const r = {
    method: 'GET',
    uri: `/events/${channels}`,
    args: {},
    headersIn: {},
    headersOut: {},
    variables,
    sendHeader() {},
    send(text: string) {
      send(text);
      received.push(text);
    },
    finish() {
      ended++;
    },
    error(message: string) {
      throw new Error(message);
    },
  };
  subscriber.subscribe(r as unknown as NginxHTTPRequest);
  received.length = 0;
  return () => received.splice(0).flatMap((text) => text.match(/data: .*/g) ?? []);
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

test('who has sent the event looks after the rest when the others have got theirs, too', async () => {
  const received = subscribe('one', { sse_backlog: '64', bytes_sent: '0' });
  publish('one', 'x'.repeat(100));
  await wake();
  expect(received()).toHaveLength(1);
  expect(ended).toBe(0);
  await vi.advanceTimersByTimeAsync(2);
  expect(ended).toBe(1);
  await vi.advanceTimersByTimeAsync(100000);
  expect(waits).toHaveLength(0);
});

test('whose client has left when it is woken stops, and says nothing', async () => {
  let attempts = 0;
  let hasLeft = false;
  subscribe('one', {}, () => {
    if (hasLeft) {
      attempts++;
      throw new Error('failed to send response');
    }
  });
  hasLeft = true;
  publish('one', '1');
  await wake();
  expect(attempts).toBeGreaterThan(0);
  attempts = 0;
  publish('one', '2');
  await vi.advanceTimersByTimeAsync(100000);
  expect(attempts).toBe(0);
  expect(waits).toHaveLength(0);
});

test.each([
  ['because it had lasted', { sse_lifetime: '1s' }],
  ['because its client had vanished', { tcpinfo_snd_cwnd: '1', tcpinfo_rtt: '1', tcpinfo_rttvar: '1' }],
])('whose stream ended while it waited, %s, sends nothing any more', async (_, variables) => {
  const received = subscribe('one', variables);
  await vi.advanceTimersByTimeAsync(100000);
  expect(ended).toBe(1);
  received();
  publish('one', '1');
  await wake();
  await vi.advanceTimersByTimeAsync(100);
  expect(received()).toEqual([]);
});

test('several events that it is woken for are sent at once', async () => {
  const received = subscribe('one');
  publish('one', '1');
  publish('one', '2');
  publish('one', '3');
  await wake();
  expect(received()).toEqual(['data: 1', 'data: 2', 'data: 3']);
});

test('an event that comes late into its place is sent once, and what follows it, too', async () => {
  const received = subscribe('one');
  const [last] = [...counts.entries].find(([key]) => key.endsWith('.last'))!;
  const place = counts.incr(last, 1);
  await wake();
  await vi.advanceTimersByTimeAsync(20);
  log.add(last.replace('.last', `-${place}`), 'id: 1\ndata: late\n\n');
  await vi.advanceTimersByTimeAsync(50);
  publish('one', 'next');
  await vi.advanceTimersByTimeAsync(1000);
  publish('one', 'last');
  await wake();
  expect(received()).toEqual(['data: late', 'data: next', 'data: last']);
});

test('one that has just sent an event when its channel is forgotten follows the new one from its beginning', async () => {
  const received = subscribe('one');
  publish('one', '1');
  await wake();
  expect(received()).toEqual(['data: 1']);
  counts.entries.clear();
  await vi.advanceTimersByTimeAsync(2000);
  publish('one', '2');
  await wake();
  publish('one', '3');
  await vi.advanceTimersByTimeAsync(2000);
  expect(received()).toEqual(['data: 2', 'data: 3']);
});

test('without the doorbell, too, an event that soon follows another is looked for soon', async () => {
  vi.stubEnv('NJS_SSE_DOORBELL', '');
  const received = subscribe('one', { sse_poll: '20ms' });
  vi.stubEnv('NJS_SSE_DOORBELL', '1');
  // To look rarely.
  await vi.advanceTimersByTimeAsync(60000);
  publish('one', '1');
  while (received().length === 0) {
    await vi.advanceTimersByTimeAsync(1);
  }
  publish('one', '2');
  await vi.advanceTimersByTimeAsync(20);
  expect(received()).toEqual(['data: 2']);
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
