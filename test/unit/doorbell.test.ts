import { describe, expect, test, vi } from 'vitest';
import { bellNumbers, counts } from './zones.ts';

const { lastRing, markBell, noteOf, ringBell } = await import('../../src/channel/ring.ts');
const { enter } = await import('../../src/channel/cursor.ts');
const { markBells } = await import('../../src/channel/wait.ts');
const { default: doorbell } = await import('../../src/doorbell.ts');
const { createBells } = await import('../../src/doorbell/bells.ts');
const { parseQuestion } = await import('../../src/doorbell/dns.ts');

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
    vi.advanceTimersByTime(10000);
    ask('7-0.wait1.sse', 'still there');
    vi.advanceTimersByTime(10000);
    expect(ask('7-1.ring.sse', 'ring')).toEqual(['ring', 'still there']);
    for (let i = 0; i < 1000; i++) {
      ask(`8-0.wait${i}.sse`);
    }
    vi.advanceTimersByTime(20000);
    ask('8-0.wait1000.sse');
    expect(ask('8-1.ring.sse', 'ring')).toEqual(['ring', '8-0.wait1000.sse']);
    vi.useRealTimers();
  });

  test('when the worker leaves, all are answered, now and later', () => {
    const ask = bells();
    ask('1-0.wait.sse', 'one');
    ask('2-0.wait.sse', 'two');
    expect(ask('all.ring.sse', 'all')).toEqual(['all', 'one', 'two']);
    expect(ask('3-0.wait.sse', 'three')).toEqual(['three']);
  });

  test.each(['example.com', '1-0.sse', 'x-0.wait.sse', '1-0.wait.sse.example', 'all.wait.sse', ''])(
    'ignores %j',
    (name) => {
      const ask = bells();
      ask('1-0.wait.sse', 'held');
      expect(ask(name).filter((asked) => asked !== name)).toEqual([]);
    },
  );
});

describe('rings', () => {
  test('are noted where somebody has left a mark, once for all of them', () => {
    counts.entries.clear();
    const epoch = 1234567;
    const bell = epoch % 1024;
    ringBell(epoch);
    expect(lastRing()).toBe(0);
    expect([markBell(epoch), markBell(epoch)]).toEqual([`${bell}-0`, `${bell}-0`]);
    ringBell(epoch);
    ringBell(epoch);
    expect(lastRing()).toBe(1);
    expect(noteOf(1)).toMatchObject({ bell });
    expect(markBell(epoch)).toBe(`${bell}-1`);
  });

  test('spread evenly over 1024 bells', () => {
    const epoch = 2 ** 51;
    expect(new Set(Array.from({ length: 1024 }, (_, i) => markBell(epoch + i))).size).toBe(1024);
  });
});

describe('names', () => {
  const readerOf = (channels: string[]) => ({
    cursors: channels.map((channel) => enter(channel, 'live')),
    lastEventId: undefined,
    ended: false,
    searched: 0,
  });

  test('are one for all who wait for a small channel, and many for a large one', () => {
    counts.entries.clear();
    const names = (subscribers: number, isQuiet: boolean) => {
      const readers = Array.from({ length: subscribers }, () => readerOf(['crowded']));
      return new Set(readers.map((reader) => markBells(reader, isQuiet))).size;
    };
    expect(names(32, true)).toBe(1);
    expect(names(968, false)).toBe(1);
    expect(names(1000, true)).toBeGreaterThan(50);
    expect(names(1000, false)).toBe(1);
  });

  test('of as many channels as can wait fit into the DNS', () => {
    counts.entries.clear();
    const reader = readerOf(Array.from({ length: 20 }, (_, i) => `channel ${i}`));
    for (const { epoch } of reader.cursors) {
      counts.set(`bell.${Number.parseInt(epoch, 36) % 1024}`, 36 ** 6 - 1);
    }
    counts.set(`${reader.cursors[0]!.epoch}.subscribers.${reader.cursors[0]!.window}`, 1e9);
    for (let i = 0; i < 1000; i++) {
      expect(markBells(reader, i % 2 > 0).length).toBeLessThanOrEqual(253);
    }
  });
});

describe('questions', () => {
  const header = (flags: string, questions = '0001') => `beef${flags}${questions}000000000000`;
  const good = `${header('0100')}03312d3004776169740373736500`;

  test('of nginx are read, and answered with "no such name"', () => {
    const message = Buffer.from(`${good}00010001`, 'hex');
    const question = parseQuestion(message)!;
    expect(question.name).toBe('1-0.wait.sse');
    const answer = question.answer;
    expect(answer.subarray(0, message.length).toString('hex')).toBe(
      `beef818300010000000000000${good.slice(25)}00010001`,
    );
    expect(answer).toHaveLength(271);
  });

  test('are answered in portions, so that no answer is lost for want of room', () => {
    vi.useFakeTimers();
    const sent: string[] = [];
    let ask = (_: Buffer) => {};
    doorbell.answer({
      on: (event: string, listener: typeof ask) => {
        if (event === 'upstream') {
          ask = listener;
        }
      },
      sendDownstream: (data: Buffer) => sent.push(parseQuestion(asked(data))!.name),
    } as unknown as NginxStreamRequest);
    const asked = (data: Buffer) =>
      Buffer.concat([data.subarray(0, 2), Buffer.from([1, 0]), data.subarray(4)]);
    const query = (name: string) => {
      const labels = name.split('.').map((label) => String.fromCharCode(label.length) + label);
      ask(
        Buffer.concat([Buffer.from(header('0100'), 'hex'), Buffer.from(`${labels.join('')}\0\0\x01\0\x01`)]),
      );
    };
    const names = Array.from({ length: 250 }, (_, i) => `1-0.wait${i || ''}.sse`);
    names.forEach(query);
    expect(sent).toEqual([]);
    query('1-1.ring.sse');
    vi.advanceTimersByTime(0);
    expect(sent).toHaveLength(100);
    vi.advanceTimersByTime(1);
    expect(sent).toHaveLength(200);
    // Those that cross their answers are no new questions; later ones are, for the answers were lost.
    names.forEach(query);
    vi.runAllTimers();
    expect(sent.splice(0)).toEqual(['1-1.ring.sse', ...names]);
    vi.advanceTimersByTime(5000);
    query(names[7]!);
    expect(sent).toEqual([names[7]]);
    vi.useRealTimers();
  });

  test.each([
    ['nothing', ''],
    ['an answer', `${header('8180')}${good.slice(24)}00010001`],
    ['two questions', `${header('0100', '0002')}${good.slice(24)}00010001`],
    ['another type', `${good}001c0001`],
    ['another class', `${good}00010003`],
    ['a name that is cut off', good.slice(0, -6)],
    ['a label that does not end', `${header('0100')}02312d03`],
    ['a pointer', `${header('0100')}c00c00010001`],
  ])('%s is no question', (_, hex) => {
    expect(parseQuestion(Buffer.from(hex, 'hex'))).toBeUndefined();
  });
});
