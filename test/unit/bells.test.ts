import { describe, expect, test, vi } from 'vitest';
import { bellNumbers } from './zones.ts';

const { createBells } = await import('../../src/doorbell/bells.ts');

function bells() {
  bellNumbers.entries.clear();
  const answered: string[] = [];
  const { ask } = createBells<string>((asked) => answered.push(asked));
  /** Asks, and gives what was answered thereupon. */
  return (name: string, asked = name) => {
    ask(name, asked);
    return answered.splice(0);
  };
}

describe('bells', () => {
  test('a question waits until its bell has a higher number', () => {
    const ask = bells();
    expect(ask('7-2.wait.sse', 'one')).toEqual([]);
    expect(ask('8-9.ring.sse', 'other')).toEqual(['other']);
    expect(ask('7-2.ring.sse', 'same')).toEqual(['same']);
    expect(ask('7-3.ring.sse', 'ring')).toEqual(['ring', 'one']);
    expect(ask('7-4.ring.sse', 'again')).toEqual(['again']);
  });

  test('a question that comes after the ring is answered at once: a ring that overtook it, or an answer that was lost', () => {
    const ask = bells();
    ask('7-a.ring.sse');
    expect(ask('7-9.wait.sse')).toEqual(['7-9.wait.sse']);
    expect(ask('7-a.wait.sse')).toEqual([]);
  });

  test('of a question that is asked again only the latest is answered', () => {
    const ask = bells();
    ask('7-0.wait.sse', 'first');
    ask('7-0.wait.sse', 'second');
    expect(ask('7-1.ring.sse', 'ring')).toEqual(['ring', 'second']);
  });

  test('a question for several bells is answered once, by any of them', () => {
    const ask = bells();
    ask('1-0.2-5.3-0.wait.sse', 'several');
    expect(ask('2-5.ring.sse', 'low')).toEqual(['low']);
    expect(ask('2-6.ring.sse', 'ring')).toEqual(['ring', 'several']);
    expect(ask('3-1.ring.sse', 'late')).toEqual(['late']);
  });

  test('a question that is not repeated is forgotten: nobody waits for its answer any more', () => {
    vi.useFakeTimers();
    const ask = bells();
    ask('7-0.wait.sse', 'left');
    ask('7-0.wait1.sse', 'there');
    vi.advanceTimersByTime(6000);
    ask('7-0.wait1.sse', 'still there');
    vi.advanceTimersByTime(6000);
    expect(ask('7-1.ring.sse', 'ring')).toEqual(['ring', 'still there']);
    for (let i = 0; i < 1000; i++) {
      ask(`8-0.wait${i}.sse`);
    }
    vi.advanceTimersByTime(20000);
    ask('8-0.wait1000.sse');
    expect(ask('8-1.ring.sse', 'ring')).toEqual(['ring', '8-0.wait1000.sse']);
    vi.useRealTimers();
  });

  test('when the worker leaves, all are answered, now and for a while', () => {
    vi.useFakeTimers();
    const ask = bells();
    ask('1-0.wait.sse', 'one');
    ask('2-0.wait.sse', 'two');
    expect(ask('all.ring.sse', 'all')).toEqual(['all', 'one', 'two']);
    vi.advanceTimersByTime(7900);
    expect(ask('3-0.wait.sse', 'three')).toEqual(['three']);
    vi.advanceTimersByTime(200);
    expect(ask('3-0.wait.sse', 'three')).toEqual([]);
    vi.useRealTimers();
  });

  test.each([
    'example.com',
    '1-0.sse',
    '1-.ring.sse',
    '-1.ring.sse',
    '01-1.ring.sse',
    '1.5-1.ring.sse',
    '1e+21-1.ring.sse',
    '1--1.ring.sse',
    '01-0.wait.sse',
    '1-00.wait.sse',
    'x-0.wait.sse',
    '1-0.wait.sse.example',
    'all.wait.sse',
    '',
  ])('ignores %j', (name) => {
    const ask = bells();
    ask('1-0.wait.sse', 'held');
    expect(ask(name)).toEqual([]);
    expect(ask('all.ring.sse', 'all')).toEqual(['all', 'held']);
  });
});
