import fs from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { shutDown } from './title.ts';
import { counts } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });
const { passBells } = await import('../../src/channel/pass.ts');
const { announceNotes, markBell, ringBell } = await import('../../src/channel/ring.ts');

const { isLeaving, LATE, renewWorker } = await import('../../src/channel/worker.ts');

let asked: string[];
/** The names that have rung. */
const rings = () => asked.filter((name) => name.endsWith('.ring'));

beforeEach(() => {
  counts.entries.clear();
  // Where it cannot be found out whether the doorbell's servers are there, they are.
  const open = fs.openSync;
  vi.spyOn(fs, 'openSync').mockImplementation((path, flags) => {
    if (path === '/proc/net/udp') {
      throw new Error('not on Linux');
    }
    return open(path, flags);
  });
  asked = [];
  Object.assign(ngx, {
    fetch: (url: string) => {
      asked.push(/^http:\/\/(.*)\.sse\/$/.exec(url)![1]!);
      return Promise.reject(new Error('no such name'));
    },
  });
});
afterEach(() => {
  vi.restoreAllMocks();
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
  expect(count()).toBeLessThan(17);

  announceNotes();
  await vi.advanceTimersByTimeAsync(10000);
  expect(count()).toBeGreaterThan(300);
  markBell('7');
  ringBell(7);
  await vi.advanceTimersByTimeAsync(25);
  expect(rings()).toEqual(['7-1.ring']);
  looks.mockRestore();
});

test.each([false, true])(
  'the resolver is introduced before its connection is closed, also by the next run (notes: %s)',
  async (notes) => {
    const start = Date.now();
    const times: number[] = [];
    Object.assign(ngx, {
      fetch: (url: string) => {
        times.push(Date.now() - start);
        return Promise.reject(new Error(asked.push(url) ? 'no such name' : ''));
      },
    });
    if (notes) {
      announceNotes();
    }
    const timeout = globalThis.setTimeout;
    // Timers end a little late.
    const late = vi
      .spyOn(globalThis, 'setTimeout')
      .mockImplementation(((run: () => void, delay: number) =>
        timeout(run, delay + 20)) as typeof setTimeout);
    passBells(59800);
    await vi.advanceTimersByTimeAsync(60000);
    passBells(59800);
    await vi.advanceTimersByTimeAsync(10000);
    late.mockRestore();
    expect(new Set(asked).size).toBe(2);
    expect(asked[0]).toMatch(new RegExp(`^http://${process.pid}-[0-9.e-]+\\.hello\\.sse/$`));
    const gaps = times.slice(1).map((time, i) => time - times[i]!);
    expect(Math.min(times[0]!, ...gaps)).toBeGreaterThan(900);
    expect(Math.max(...gaps)).toBeLessThan(4000);
    expect(times.length).toBeGreaterThan(20);
  },
);

test('a run ends in time, with nothing under way, and is quiet until then', async () => {
  // The fifth introduction would be after 11 s.
  passBells(11300);
  await vi.advanceTimersByTimeAsync(10500);
  asked = [];
  const looks = vi.spyOn(counts, 'get');
  await vi.advanceTimersByTimeAsync(1000);
  expect(looks.mock.calls.length).toBeLessThan(20);
  looks.mockRestore();
  expect(vi.getTimerCount()).toBe(0);
  expect(asked).toEqual([]);
});

test('when the worker shuts down nothing is asked any more, nobody would hear of it; and the worker is marked', async () => {
  renewWorker();
  announceNotes();
  passBells(10000);
  await vi.advanceTimersByTimeAsync(900);
  renewWorker();
  await vi.advanceTimersByTimeAsync(20);
  asked = [];
  const title = shutDown();
  markBell('7');
  ringBell(7);
  await vi.advanceTimersByTimeAsync(1000);
  title.mockRestore();
  expect(asked).toEqual([]);
  expect(isLeaving(Date.now(), Infinity)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('a worker that stood still does not leave', async () => {
  renewWorker();
  passBells(10000);
  vi.setSystemTime(Date.now() + 5000);
  const title = vi.spyOn(fs, 'openSync').mockImplementation(() => {
    throw new Error('no such file');
  });
  expect(isLeaving(Date.now(), LATE)).toBe(true);
  title.mockRestore();
  expect(isLeaving(Date.now(), LATE)).toBe(false);
  await vi.advanceTimersByTimeAsync(1000);
  expect(vi.getTimerCount()).toBe(1);
});
