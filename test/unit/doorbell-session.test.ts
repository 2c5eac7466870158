import { beforeEach, expect, test, vi } from 'vitest';
import { forgetAll, session } from './resolver.ts';
import { waits } from './zones.ts';

/** nginx ends a session with this datagram (doorbell-server.conf). */
const LAST = 100000;
const NO_QUESTION = Buffer.from([1]);

beforeEach(() => {
  forgetAll();
  vi.useFakeTimers();
});

function receiveMany({ receive }: ReturnType<typeof session>, count: number): void {
  for (let i = 0; i < count; i++) {
    receive(NO_QUESTION);
  }
}

test('leaves no timer when nginx ends it, and what it held and had yet to answer to the next one', () => {
  const first = session();
  const names = Array.from({ length: 250 }, (_, i) => `1-0.wait${i}.sse`);
  for (const name of names) {
    first.ask(name);
  }
  first.ask('2-0.wait.sse');
  receiveMany(first, LAST - 253);
  expect(vi.getTimerCount()).toBe(0);
  first.ask('1-1.ring.sse');
  expect(vi.getTimerCount()).toBe(1);
  first.receive(NO_QUESTION);
  expect(vi.getTimerCount()).toBe(0);
  expect(first.sent).toHaveLength(100);

  const second = session();
  second.receive(NO_QUESTION);
  vi.runAllTimers();
  expect([...first.sent, ...second.sent]).toEqual(['1-1.ring.sse', ...names].map((name) => `1 ${name}`));
  second.hear('2-1');
  expect(second.sent.at(-1)).toBe('1 2-0.wait.sse');
});

test('starts no timer, either, where it lasts a moment longer', () => {
  const old = session();
  for (let i = 0; i < 150; i++) {
    old.ask(`${i}-0.wait.sse`);
  }
  receiveMany(old, LAST - 150);
  for (let i = 0; i < 150; i++) {
    old.hear(`${i}-1`);
  }
  expect(old.sent).toHaveLength(100);
  expect(vi.getTimerCount()).toBe(0);
});

test('leaves none, either, for what moves to TCP', () => {
  waits.set('40000', 1);
  const moving = session();
  for (let i = 0; i < 300; i++) {
    moving.ask(`${i}-0.wait.sse`);
  }
  expect(vi.getTimerCount()).toBe(1);
  receiveMany(moving, LAST - 300);
  expect(vi.getTimerCount()).toBe(0);
});
