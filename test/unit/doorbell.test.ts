import { describe, expect, test, vi } from 'vitest';
import { bellNumbers, counts } from './zones.ts';

const { markBell, openNotes, ringBell } = await import('../../src/channel/ring.ts');
const { default: doorbell } = await import('../../src/doorbell.ts');
const { default: doorbellRing } = await import('../../src/doorbell-ring.ts');
const { createBells } = await import('../../src/doorbell/bells.ts');
const { notFound, parseQuestion } = await import('../../src/doorbell/dns.ts');

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

describe('rings', () => {
  test('are noted where somebody has left a mark, once for all of them', () => {
    counts.entries.clear();
    const epoch = 1234567;
    const bell = epoch % 1024;
    ringBell(epoch);
    expect(openNotes().last()).toBe(0);
    expect([markBell(epoch.toString(36)), markBell(epoch.toString(36))]).toEqual([`${bell}-0`, `${bell}-0`]);
    ringBell(epoch);
    ringBell(epoch);
    expect(openNotes().last()).toBe(1);
    expect(openNotes().at(1)).toMatchObject({ bell });
    expect(markBell(epoch.toString(36))).toBe(`${bell}-1`);
  });

  test('of a script that can are passed on, and not noted', async () => {
    counts.entries.clear();
    const asked: string[] = [];
    Object.assign(ngx, { fetch: (url: string) => Promise.reject(new Error(String(asked.push(url)))) });
    vi.resetModules();
    const ring = await import('../../src/channel/ring.ts');
    ring.passRingsOn();
    ring.ringBell(7);
    ring.markBell('7');
    ring.ringBell(7);
    ring.ringBell(7);
    expect(asked).toEqual(['http://7-1.ring.sse/']);
    expect(ring.openNotes().last()).toBe(0);
  });

  test('spread evenly over 1024 bells', () => {
    const epoch = 2 ** 51;
    expect(new Set(Array.from({ length: 1024 }, (_, i) => markBell((epoch + i).toString(36)))).size).toBe(
      1024,
    );
  });
});

describe('questions', () => {
  const header = (flags: string, questions = '0001') => `beef${flags}${questions}000000000000`;
  const good = `${header('0100')}03312d3004776169740373736500`;

  test('of nginx are read, and answered with "no such name"', () => {
    const message = Buffer.from(`${good}00010001`, 'hex');
    const question = parseQuestion(message)!;
    expect(question.name).toBe('1-0.wait.sse');
    const answer = notFound(message, question.end);
    expect(answer.subarray(0, message.length).toString('hex')).toBe(
      `beef818300010000000000000${good.slice(25)}00010001`,
    );
    expect(answer).toHaveLength(271);
  });

  test('that ring are answered, noted for those who have not heard, and passed on', () => {
    bellNumbers.entries.clear();
    const sent: [to: string, data: string][] = [];
    let ask = (_: Buffer) => {};
    doorbellRing.ring({
      on: (_: string, listener: typeof ask) => {
        ask = listener;
      },
      sendDownstream: (data: Buffer) => sent.push(['back', data.subarray(0, 4).toString('hex')]),
      sendUpstream: (data: string) => sent.push(['on', data]),
    } as unknown as NginxStreamRequest);
    for (const [label, name] of [
      ['03372d33', '7-3'],
      ['03372d32', '7-2'],
    ]) {
      ask(Buffer.from(`${header('0100')}${label}0472696e67037373650000010001`, 'hex'));
      expect(sent.splice(0)).toEqual([
        ['on', `${name}.ring.sse`.padEnd(271)],
        ['back', 'beef8183'],
      ]);
    }
    expect([...bellNumbers.entries]).toEqual([['7', 3]]);
    ask(Buffer.from(`${good}00010001`, 'hex'));
    expect(sent).toEqual([]);
  });

  /** A session of the doorbell, and what it has sent: ids and names. */
  function session() {
    bellNumbers.entries.clear();
    const listeners: Record<string, (data: Buffer) => void> = {};
    const sent: string[] = [];
    doorbell.answer({
      on: (event: string, listener: (data: Buffer) => void) => {
        listeners[event] = listener;
      },
      sendDownstream: (data: Buffer) => {
        const query = Buffer.concat([data.subarray(0, 2), Buffer.from([1, 0]), data.subarray(4)]);
        sent.push(`${data.readUInt16BE(0)} ${parseQuestion(query)!.name}`);
      },
    } as unknown as NginxStreamRequest);
    const ask = (name: string, id = 1) => {
      const labels = name.split('.').map((label) => String.fromCharCode(label.length) + label);
      const message = Buffer.concat([
        Buffer.from(header('0100'), 'hex'),
        Buffer.from(`${labels.join('')}\0\0\x01\0\x01`),
      ]);
      message.writeUInt16BE(id, 0);
      listeners.upstream!(message);
    };
    const hear = (name: string) => listeners.downstream!(Buffer.from(name.padEnd(271)));
    return { ask, hear, sent };
  }

  test('are answered in portions, so that no answer is lost for want of room', () => {
    vi.useFakeTimers();
    const { ask, sent } = session();
    const names = Array.from({ length: 250 }, (_, i) => `1-0.wait${i || ''}.sse`);
    for (const name of names) {
      ask(name);
    }
    expect(sent).toEqual([]);
    ask('1-1.ring.sse');
    vi.advanceTimersByTime(0);
    expect(sent).toHaveLength(100);
    vi.advanceTimersByTime(1);
    expect(sent).toHaveLength(200);
    // Those that cross their answers are no new questions; later ones are, for the answers were lost.
    for (const name of names) {
      ask(name);
    }
    vi.runAllTimers();
    expect(sent.splice(0)).toEqual(['1-1.ring.sse', ...names].map((name) => `1 ${name}`));
    vi.advanceTimersByTime(5000);
    ask(names[7]!);
    expect(sent).toEqual([`1 ${names[7]}`]);
    vi.useRealTimers();
  });

  test('of many bells that ring at once are answered in portions, too', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    for (let bell = 0; bell < 150; bell++) {
      ask(`${bell}-0.wait.sse`, bell);
    }
    for (let bell = 0; bell < 150; bell++) {
      hear(`${bell}-1.ring.sse`);
    }
    expect(sent).toHaveLength(100);
    vi.runAllTimers();
    expect(sent).toEqual(Array.from({ length: 150 }, (_, bell) => `${bell} ${bell}-0.wait.sse`));
    vi.useRealTimers();
  });

  test('are answered under the id that they had last', () => {
    const { ask, hear, sent } = session();
    ask('7-0.wait.sse', 1);
    ask('7-0.wait.sse', 2);
    hear('7-0.ring.sse');
    hear('no ring');
    expect(sent).toEqual([]);
    hear('7-1.ring.sse');
    expect(sent).toEqual(['2 7-0.wait.sse']);
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
