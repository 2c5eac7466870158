import { beforeEach, describe, expect, test, vi } from 'vitest';
import { connection, forgetAll, session } from './resolver.ts';
import { bellNumbers, waits } from './zones.ts';

beforeEach(forgetAll);

describe('questions', () => {
  test('of a resolver that is connected are to be repeated there, and answered without that remark', () => {
    const { ask, hear, sent } = session();
    ask('0-0.5.hello.sse', 9);
    connection().ask('0-0.5.hello.sse', 9);
    sent.length = 0;
    ask('7-0.wait.sse', 1);
    ask('7-1.ring.sse', 2);
    ask('8-0.wait.sse', 3);
    hear('8-1');
    expect(sent).toEqual([
      '1 7-0.wait.sse truncated',
      '2 7-1.ring.sse',
      '1 7-0.wait.sse',
      '3 8-0.wait.sse truncated',
      '3 8-0.wait.sse',
    ]);
  });

  test('are sent there a few at a time, also those that were asked before it was connected, and answers go first', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    const count = (isTruncated: boolean) =>
      sent.filter((answer) => answer.endsWith('truncated') === isTruncated).length;
    for (let i = 0; i < 100; i++) {
      ask(`1-0.wait${i || ''}.sse`);
      ask(`2-0.wait${i || ''}.sse`);
    }
    ask('0-0.5.hello.sse');
    expect(sent.splice(0)).toEqual(['1 0-0.5.hello.sse truncated']);
    connection().ask('0-0.5.hello.sse');
    vi.advanceTimersByTime(99);
    expect(count(true)).toBe(0);
    vi.advanceTimersByTime(1);
    expect(count(true)).toBe(25);
    hear('1-1');
    expect([count(true), count(false)]).toEqual([25, 75]);
    vi.advanceTimersByTime(1);
    expect([count(true), count(false)]).toEqual([25, 100]);
    vi.advanceTimersByTime(99);
    expect(count(true)).toBe(50);
    // So few wait for the next datagram.
    vi.advanceTimersByTime(1000);
    expect(count(true)).toBe(50);
    ask('3-0.wait.sse');
    expect(count(true)).toBe(75);
    vi.advanceTimersByTime(1000);
    ask('0-0.6.hello.sse');
    expect(count(true)).toBe(101);
    expect(new Set(sent.filter((answer) => answer.endsWith('truncated'))).size).toBe(101);
    vi.useRealTimers();
  });

  test('that are answered before it is their turn are not sent there', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    ask('0-0.5.hello.sse');
    connection().ask('0-0.5.hello.sse');
    for (let i = 0; i < 51; i++) {
      ask(`${i}-0.wait.sse`);
    }
    sent.length = 0;
    hear('50-1');
    vi.advanceTimersByTime(10);
    expect(sent).toEqual(['1 50-0.wait.sse']);
    vi.useRealTimers();
  });

  test('that a worker held which was killed are held by the next one', () => {
    vi.useFakeTimers();
    const killed = session();
    killed.ask('1-0.wait.sse', 1);
    killed.ask('2-0.wait.sse', 2);
    killed.ask('3-0.wait.sse', 3);
    session(40001).ask('4-0.wait.sse', 4);
    bellNumbers.set('2', 1);
    const { ask, hear, sent } = session();
    vi.advanceTimersByTime(5000);
    ask('0-0.5.hello.sse', 9);
    expect(sent.splice(0)).toEqual(['2 2-0.wait.sse', '9 0-0.5.hello.sse truncated']);
    hear('1-1');
    hear('4-1');
    expect(sent.splice(0)).toEqual(['1 1-0.wait.sse']);
    // What the connection has heard since is found, too; then no longer, as that takes long.
    waits.set('40000 5-0.wait.sse', 5);
    ask('0-0.5.hello.sse', 10);
    hear('5-1');
    expect(sent.splice(0)).toEqual(['10 0-0.5.hello.sse truncated', '5 5-0.wait.sse']);
    const search = vi.spyOn(waits, 'keys');
    ask('0-0.5.hello.sse', 11);
    expect(sent.splice(0)).toEqual(['11 0-0.5.hello.sse truncated']);
    expect(search).not.toHaveBeenCalled();
    search.mockRestore();
    // It was not repeated.
    vi.advanceTimersByTime(3000);
    hear('3-1');
    expect(sent).toEqual([]);
    vi.useRealTimers();
  });
});
