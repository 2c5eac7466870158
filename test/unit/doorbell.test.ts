import fs from 'node:fs';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { forgetAll, session } from './resolver.ts';
import { shutDown } from './title.ts';
import { bellNumbers, counts, waits } from './zones.ts';

const { markBell, openNotes, ringBell } = await import('../../src/channel/ring.ts');
const { default: doorbellRing } = await import('../../src/doorbell-ring.ts');
const { notFound, parseQuestion } = await import('../../src/doorbell/dns.ts');

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

  test.each([
    ['Host not found', 'and not noted', 0],
    ['Operation timed out', 'and noted where nobody answers', 1],
  ])('of a script that can are passed on (%s), %s', async (answer, _, noted) => {
    counts.entries.clear();
    const asked: string[] = [];
    const fetch = (url: string) => {
      asked.push(url);
      return Promise.reject(new Error(`could not be resolved (${answer})`));
    };
    Object.assign(ngx, { fetch });
    vi.resetModules();
    const ring = await import('../../src/channel/ring.ts');
    const rung = vi.fn();
    ring.passRingsOn(rung);
    ring.ringBell(7);
    ring.markBell('7');
    ring.ringBell(7);
    ring.ringBell(7);
    expect(asked).toEqual(['http://7-1.ring.sse/']);
    await vi.waitFor(() => expect(rung).toHaveBeenCalledTimes(1));
    expect(ring.openNotes().last()).toBe(noted);
  });

  test('spread evenly over 1024 bells', () => {
    const epoch = 2 ** 51;
    expect(new Set(Array.from({ length: 1024 }, (_, i) => markBell((epoch + i).toString(36)))).size).toBe(
      1024,
    );
  });
});

describe('questions', () => {
  beforeEach(forgetAll);
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

  /** A session of the server that takes rings: what it has sent. */
  function ringSession() {
    bellNumbers.entries.clear();
    const sent: [to: string, data: string][] = [];
    let receive = (_: Buffer) => {};
    doorbellRing.ring({
      on: (_: string, listener: typeof receive) => {
        receive = listener;
      },
      sendDownstream: (data: Buffer) => sent.push(['back', data.subarray(0, 4).toString('hex')]),
      sendUpstream: (data: string) => sent.push(['on', data]),
    } as unknown as NginxStreamRequest);
    return { receive, sent };
  }
  const ringing = (label: string) =>
    Buffer.from(`${header('0100')}${label}0472696e67037373650000010001`, 'hex');

  test('that ring are noted for those who have not heard, passed on, and answered when those were woken', () => {
    vi.useFakeTimers();
    const { receive, sent } = ringSession();
    for (const [label, name] of [
      ['03372d33', '7-3'],
      ['03372d32', '7-2'],
    ]) {
      receive(ringing(label!));
      expect(sent.splice(0)).toEqual([['on', name!.padEnd(33)]]);
      vi.advanceTimersByTime(2);
      expect(sent.splice(0)).toEqual([['back', 'beef8183']]);
    }
    expect([...bellNumbers.entries]).toEqual([['7', 3]]);
    receive(Buffer.from(`${good}00010001`, 'hex'));
    vi.runAllTimers();
    expect(sent).toEqual([]);
    vi.useRealTimers();
  });

  test('that ring are passed on in datagrams of one length, up to the largest numbers', () => {
    const { receive, sent } = ringSession();
    const largest = Number.MAX_SAFE_INTEGER;
    const label = `${largest}-${largest.toString(36)}`;
    receive(ringing(Buffer.from(String.fromCharCode(label.length) + label).toString('hex')));
    expect(sent[0]).toEqual(['on', `${largest}-${largest}`]);
    expect(sent[0]![1]).toHaveLength(33);
  });

  test('that ring are all answered, in portions, and before nginx ends the session', () => {
    vi.useFakeTimers();
    const { receive, sent } = ringSession();
    const answers = () => sent.filter(([to]) => to === 'back').length;
    receive(Buffer.from(`${good}00010001`, 'hex'));
    for (let i = 0; i < 99; i++) {
      receive(ringing('03372d33'));
    }
    expect(answers()).toBe(0);
    receive(ringing('03372d33'));
    expect(answers()).toBe(100);
    vi.runAllTimers();
    expect(answers()).toBe(100);
    for (let i = 101; i < 999; i++) {
      receive(ringing('03372d33'));
    }
    receive(ringing('03372d33'));
    expect(answers()).toBe(999);
    vi.useRealTimers();
  });

  test('are not answered by a timer of a worker that leaves, whose socket may be something else by then', () => {
    vi.useFakeTimers();
    const rings = ringSession();
    const { ask, hear, sent } = session();
    for (let i = 0; i < 150; i++) {
      ask(`1-0.wait${i || ''}.sse`);
    }
    const title = shutDown();
    rings.receive(ringing('03372d33'));
    hear('1-1');
    vi.runAllTimers();
    title.mockRestore();
    expect(rings.sent).toEqual([['on', '7-3'.padEnd(33)]]);
    expect(sent).toHaveLength(100);
    vi.useRealTimers();
  });

  test('that ring are answered at once where nobody can tell whether the worker leaves', () => {
    const open = vi.spyOn(fs, 'openSync').mockImplementation(() => {
      throw new Error('no /proc');
    });
    const { receive, sent } = ringSession();
    open.mockRestore();
    receive(ringing('03372d33'));
    expect(sent.map(([to]) => to)).toEqual(['on', 'back']);
  });

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

  test('are answered however many before them nobody waits for any more', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    for (let i = 0; i < 350; i++) {
      ask(`1-0.wait${i}.sse`);
    }
    for (let i = 100; i < 300; i++) {
      waits.delete(`40000 1-0.wait${i}.sse`);
    }
    hear('1-1');
    expect(sent).toHaveLength(100);
    vi.runAllTimers();
    expect(sent.slice(100)).toEqual(Array.from({ length: 50 }, (_, i) => `1 1-0.wait${300 + i}.sse`));
    vi.useRealTimers();
  });

  test('of many bells that ring at once are answered in portions, too', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    for (let bell = 0; bell < 150; bell++) {
      ask(`${bell}-0.wait.sse`, bell);
    }
    for (let bell = 0; bell < 150; bell++) {
      hear(`${bell}-1`);
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
    hear('7-0');
    hear('no ring');
    expect(sent).toEqual([]);
    hear('7-1');
    expect(sent).toEqual(['2 7-0.wait.sse']);
  });

  test('that cross their answers are not answered again, however many others are asked', () => {
    const { ask, sent } = session();
    ask('7-0.wait.sse', 1);
    ask('7-1.ring.sse', 2);
    const answered = ['2 7-1.ring.sse', '1 7-0.wait.sse'];
    for (let i = 0; i < 2500; i++) {
      ask(`8-0.wait${i}.sse`);
    }
    ask('7-0.wait.sse', 1);
    expect(sent).toEqual(answered);
    ask('7-0.wait.sse', 3);
    expect(sent).toEqual([...answered, '3 7-0.wait.sse']);
  });

  test('that are not repeated are not answered: nobody waits any more', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    ask('7-0.wait.sse', 1);
    ask('7-0.wait1.sse', 2);
    vi.advanceTimersByTime(6000);
    ask('7-0.wait1.sse', 2);
    vi.advanceTimersByTime(6000);
    hear('7-1');
    expect(sent).toEqual(['2 7-0.wait1.sse']);
    vi.useRealTimers();
  });

  test('that come one by one need no timer', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session();
    for (let i = 1; i <= 200; i++) {
      ask(`${i}-0.wait.sse`);
      hear(`${i}-1`);
      vi.setSystemTime(Date.now() + 5);
    }
    expect(sent).toHaveLength(200);
    expect(vi.getTimerCount()).toBe(0);
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
