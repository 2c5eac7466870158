import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { counts } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });
const { passBells } = await import('../../src/channel/pass.ts');
const { announceNotes, markBell, ringBell } = await import('../../src/channel/ring.ts');

const SERVED = `worker.${process.pid}`;
let asked: string[];

beforeEach(() => {
  counts.entries.clear();
  asked = [];
  Object.assign(ngx, {
    fetch: (url: string) => {
      asked.push(url);
      return Promise.reject(new Error('no such name'));
    },
  });
});
afterEach(() => {
  vi.clearAllTimers();
});

test('a ring that was noted is passed on once', async () => {
  passBells(10000);
  markBell('7');
  ringBell(7);
  await vi.advanceTimersByTimeAsync(9000);
  expect(asked).toEqual(['http://7-1.ring.sse/']);
});

test('rings that scripts note are passed on at once, where such scripts run; elsewhere there is a look a second', async () => {
  const looks = vi.spyOn(counts, 'get');
  const count = () => looks.mock.calls.filter(([key]) => key === 'rings').length;
  passBells(30000);
  await vi.advanceTimersByTimeAsync(10000);
  expect(count()).toBeLessThan(13);

  announceNotes();
  await vi.advanceTimersByTimeAsync(10000);
  expect(count()).toBeGreaterThan(300);
  markBell('7');
  ringBell(7);
  await vi.advanceTimersByTimeAsync(25);
  expect(asked).toEqual(['http://7-1.ring.sse/']);
  looks.mockRestore();
});

test('a worker that stood still is not about to leave', async () => {
  counts.set(SERVED, Date.now());
  passBells(30000);
  await vi.advanceTimersByTimeAsync(500);
  vi.setSystemTime(Date.now() + 60000);
  await vi.advanceTimersByTimeAsync(600);
  expect(vi.getTimerCount()).toBe(1);
  counts.set(SERVED, Date.now());
  await vi.advanceTimersByTimeAsync(2400);
  expect(vi.getTimerCount()).toBe(0);
  expect(asked).toEqual([]);
});

test('a run ends in time, but not while the worker is late to say that it serves: it wakes all when the worker leaves', async () => {
  counts.set(SERVED, Date.now() + 9500);
  passBells(10000);
  await vi.advanceTimersByTimeAsync(10100);
  expect(vi.getTimerCount()).toBe(0);
  expect(asked).toEqual([]);

  counts.set(SERVED, Date.now() + 8500);
  passBells(10000);
  await vi.advanceTimersByTimeAsync(20000);
  expect(vi.getTimerCount()).toBe(0);
  expect(asked).toEqual(['http://all.ring.sse/']);
});
