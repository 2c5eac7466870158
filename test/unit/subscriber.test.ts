import { expect, test, vi } from 'vitest';
import { ended, publish, subscribe, waits, wake } from './subscribing.ts';
import { counts, log } from './zones.ts';

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

test('who finds an empty place looks until time tells, although nobody rings for it', async () => {
  const received = subscribe('one');
  await vi.advanceTimersByTimeAsync(1000);
  const [last] = [...counts.entries].find(([key]) => key.endsWith('.last'))!;
  counts.incr(last, 2);
  log.add(last.replace('.last', '-2'), 'id: 2\ndata: after it\n\n');
  await wake();
  await vi.advanceTimersByTimeAsync(1000);
  expect(received()).toEqual(['data: after it']);
});

test('one that has just sent an event when its channel is forgotten follows the new one from its beginning', async () => {
  const received = subscribe('one');
  publish('one', '1');
  await wake();
  expect(received()).toEqual(['data: 1']);
  counts.entries.clear();
  await vi.advanceTimersByTimeAsync(2000);
  // The new position.
  expect(received()).toEqual(['data: {}']);
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
  for (let i = 0; i < 250 && received().length === 0; i++) {
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

test('where the doorbell has no room for a mark a stream goes on without it', async () => {
  const set = counts.set;
  counts.set = (key, value) => {
    if (key.startsWith('mark.')) {
      throw new Error('failed to set value in shared dict');
    }
    set.call(counts, key, value);
  };
  const received = subscribe('one');
  const looks = vi.spyOn(counts, 'get');
  await vi.advanceTimersByTimeAsync(10000);
  expect(looks.mock.calls.length).toBeLessThan(200);
  looks.mockRestore();
  counts.set = set;
  expect(waits).toHaveLength(0);
  publish('one', '1');
  await vi.advanceTimersByTimeAsync(1000);
  expect(received()).toEqual(['data: 1']);
  expect(ended).toBe(0);
});
