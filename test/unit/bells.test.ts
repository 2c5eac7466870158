import { describe, expect, test } from 'vitest';
import { bellNumbers } from './zones.ts';

const { createBells } = await import('../../src/doorbell/bells.ts');

/** @param kept what is held and was repeated. */
function bells(kept = new Set<string>()) {
  bellNumbers.entries.clear();
  const answered: string[] = [];
  const { ask } = createBells<string>({
    keep: (asked) => kept.add(asked),
    isKept: (asked) => kept.has(asked),
    release: (asked) => {
      if (kept.delete(asked)) {
        answered.push(asked);
      }
    },
  });
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

  test('a question that is held no longer is not answered: nobody waits for it', () => {
    const kept = new Set<string>();
    const ask = bells(kept);
    ask('7-0.wait.sse', 'left');
    ask('7-0.wait1.sse', 'there');
    kept.delete('left');
    expect(ask('7-1.ring.sse', 'ring')).toEqual(['ring', 'there']);
    expect(kept.size).toBe(0);
    for (let i = 0; i < 1000; i++) {
      ask(`8-0.wait${i}.sse`);
    }
    kept.clear();
    ask('8-0.wait1000.sse');
    // Those are forgotten here, too: it is as if one of them had not been asked yet.
    kept.add('8-0.wait7.sse');
    expect(ask('8-1.ring.sse', 'ring')).toEqual(['ring', '8-0.wait1000.sse']);
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
    'all.ring.sse',
    '',
  ])('ignores %j', (name) => {
    const ask = bells();
    ask('1-0.wait.sse', 'held');
    expect(ask(name)).toEqual([]);
    expect(ask('1-1.ring.sse', 'ring')).toEqual(['ring', 'held']);
  });
});
