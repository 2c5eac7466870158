import fs from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { counts } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });
const { passBells } = await import('../../src/channel/pass.ts');
const { announceNotes, markBell, ringBell } = await import('../../src/channel/ring.ts');

const { isLeaving, renewWorker } = await import('../../src/channel/worker.ts');

let asked: string[];
/** The names that have rung. */
const rings = () => asked.filter((name) => name.endsWith('.ring'));

beforeEach(() => {
  counts.entries.clear();
  asked = [];
  Object.assign(ngx, {
    fetch: (url: string) => {
      asked.push(/^http:\/\/(.*)\.sse\/$/.exec(url)![1]!);
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
  expect(rings()).toEqual(['7-1.ring']);
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
  expect(rings()).toEqual(['7-1.ring']);
  looks.mockRestore();
});

test('the socket of the worker is introduced before its connection is closed, also by the next run', async () => {
  const start = Date.now();
  const times: number[] = [];
  Object.assign(ngx, {
    fetch: (url: string) => {
      times.push(Date.now() - start);
      return Promise.reject(new Error(asked.push(url) ? 'no such name' : ''));
    },
  });
  passBells(59800);
  await vi.advanceTimersByTimeAsync(60000);
  passBells(59800);
  await vi.advanceTimersByTimeAsync(10000);
  expect(new Set(asked).size).toBe(2);
  expect(asked[0]).toMatch(new RegExp(`^http://${process.pid}-[0-9.e-]+\\.worker\\.sse/$`));
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  expect(Math.min(times[0]!, ...gaps)).toBeGreaterThan(900);
  expect(Math.max(...gaps)).toBeLessThan(4000);
});

test('a run ends in time, with nothing under way', async () => {
  passBells(10000);
  await vi.advanceTimersByTimeAsync(8800);
  asked = [];
  await vi.advanceTimersByTimeAsync(1300);
  expect(vi.getTimerCount()).toBe(0);
  expect(asked).toEqual([]);
});

test('a worker that shuts down is marked within a second', async () => {
  renewWorker(Date.now());
  passBells(10000);
  await vi.advanceTimersByTimeAsync(2000);
  renewWorker(Date.now());
  const title = vi
    .spyOn(fs, 'readSync')
    .mockImplementation((_, buffer) => (buffer as Buffer).write('nginx: worker process is shutting down'));
  await vi.advanceTimersByTimeAsync(1000);
  title.mockRestore();
  expect(isLeaving(Date.now())).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});
