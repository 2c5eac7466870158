import fs from 'node:fs';
import { expect, test, vi } from 'vitest';
import { ended, publish, subscribe, subscriber, waits, wake } from './subscribing.ts';
import { shutDown } from './title.ts';

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

test('streams of a worker that shuts down end one by one, as soon as another could have said that it serves', async () => {
  subscriber.serve();
  for (let i = 0; i < 100; i++) {
    subscribe(`channel-${i}`);
  }
  await vi.advanceTimersByTimeAsync(250);
  const title = shutDown();
  // A hundred numbers by chance may leave out a second.
  let numbers = 0;
  const random = vi.spyOn(Math, 'random').mockImplementation(() => (numbers++ * 0.618) % 1);
  await wake();
  const ends: number[] = [];
  for (let second = 0; second < 9; second++) {
    await vi.advanceTimersByTimeAsync(1000);
    ends.push(ended);
  }
  title.mockRestore();
  random.mockRestore();
  const [first, ...rest] = ends.map((count, second) => count - (ends[second - 1] ?? 0));
  expect(first).toBe(0);
  expect(rest).not.toContain(0);
  await vi.advanceTimersByTimeAsync(500);
  expect(ended).toBe(100);
});
