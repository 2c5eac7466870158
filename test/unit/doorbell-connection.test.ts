import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { connection, forgetAll, overTcp, session } from './resolver.ts';
import { shutDown } from './title.ts';
import { bellNumbers, waits } from './zones.ts';

const { notFoundOverTcp } = await import('../../src/doorbell/dns.ts');

const HELLO = `${process.pid}-0.5.hello.sse`;
/** Of a resolver whose worker is another one. */
const OTHERS = '0-0.5.hello.sse';

beforeEach(() => {
  vi.useFakeTimers();
  forgetAll();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A resolver that is introduced, with a connection. */
function introduced(hello = HELLO) {
  const udp = session();
  udp.ask(hello);
  const tcp = connection();
  tcp.ask(hello);
  udp.sent.length = tcp.sent.length = 0;
  return { udp, tcp };
}

function answersTo(udp: ReturnType<typeof session>, ring: string): string[] {
  udp.sent.length = 0;
  udp.hear(ring);
  return udp.sent;
}

test('an answer over TCP is "no such name"', () => {
  expect(notFoundOverTcp({ name: '1-0.wait.sse', id: 0xbeef }).toString('hex')).toBe(
    '001e' + 'beef81830001000000000000' + '03312d3004776169740373736500' + '00010001',
  );
});

describe('when the workers shut down', () => {
  test('all questions of a resolver are answered over its connection', () => {
    const { ask, hear, sent } = session();
    ask('1-0.wait.sse', 0xbeef);
    ask('2-0.wait.sse', 2);
    ask('3-0.wait.sse', 3);
    hear('2-1');
    ask(HELLO, 4);
    expect(sent).toEqual(['2 2-0.wait.sse', `4 ${HELLO} truncated`]);
    waits.set('40001 1-0.wait.sse', 9);
    const tcp = connection();
    tcp.ask(HELLO, 4);
    expect(tcp.sent.splice(0)).toEqual([`4 ${HELLO}`]);
    vi.advanceTimersByTime(3000);
    expect(tcp.sent).toEqual([]);
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    expect(tcp.sent.splice(0)).toEqual([`${0xbeef} 1-0.wait.sse`, '3 3-0.wait.sse']);
    hear('1-1');
    expect(sent).toHaveLength(2);
    expect(waits.get('40001 1-0.wait.sse')).toBe(9);
    // After a reload there are new workers, where somebody may still ask.
    ask('4-0.wait.sse', 5);
    tcp.ask('5-0.wait.sse', 6);
    // What crosses its answer has not been asked anew.
    tcp.ask('3-0.wait.sse', 3);
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect(tcp.sent).toEqual(['5 4-0.wait.sse', '6 5-0.wait.sse']);
  });

  test('they are answered a while after that was seen, however soon a late look is followed by the next', () => {
    const { udp, tcp } = introduced();
    udp.ask('1-0.wait.sse');
    const title = shutDown();
    vi.setSystemTime(Date.now() + 200);
    vi.advanceTimersToNextTimer();
    expect(title).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(200);
    expect(tcp.sent).toEqual([]);
    vi.advanceTimersByTime(300);
    title.mockRestore();
    expect(tcp.sent).toHaveLength(1);
  });

  test('nothing is sent where nobody waits, or it is not known who asks', () => {
    const { tcp } = introduced();
    session(40001).ask('1-0.wait.sse');
    const unknown = connection();
    unknown.ask(HELLO.replace('0.5', '0.6'));
    unknown.sent.length = 0;
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect([...tcp.sent, ...unknown.sent]).toEqual([]);
  });

  test('questions that are due are answered over the connection, too', () => {
    const { udp, tcp } = introduced();
    waits.delete('40000');
    for (let i = 0; i < 150; i++) {
      udp.ask(`1-0.wait${i || ''}.sse`);
    }
    udp.hear('1-1');
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect(udp.sent).toHaveLength(100);
    expect(tcp.sent).toHaveLength(50);
  });

  test('questions of another worker are not answered', () => {
    const { udp, tcp } = introduced(OTHERS);
    udp.ask('1-0.wait.sse');
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect(tcp.sent).toEqual([]);
  });
});

describe('what is repeated over a connection', () => {
  test('is held, and answered by the session of the datagrams', () => {
    const { udp, tcp } = introduced();
    udp.ask('7-0.wait.sse', 5);
    expect(udp.sent.splice(0)).toEqual(['5 7-0.wait.sse truncated']);
    for (let i = 0; i < 4; i++) {
      tcp.ask('7-0.wait.sse', 5);
      vi.advanceTimersByTime(5000);
    }
    udp.ask('8-0.wait.sse', 8);
    tcp.ask('8-0.wait.sse', 9);
    udp.sent.length = 0;
    udp.hear('7-1');
    udp.hear('8-1');
    expect(udp.sent).toEqual(['5 7-0.wait.sse', '9 8-0.wait.sse']);
    expect(tcp.sent).toEqual([]);
  });

  test('is held for the socket that the resolver has now', () => {
    const { tcp } = introduced();
    tcp.ask('7-0.wait.sse', 5);
    tcp.ask('7-0.wait.sse', 5);
    session(40001).ask(HELLO);
    tcp.ask(HELLO);
    tcp.ask('7-0.wait.sse', 5);
    expect(waits.get('40001 7-0.wait.sse')).toBe(5);
  });

  test('is answered here if the ring was lost, or the answer; but not if it crosses the answer', () => {
    const { udp, tcp } = introduced();
    udp.ask('7-0.wait.sse', 5);
    tcp.ask('7-0.wait.sse', 5);
    bellNumbers.set('7', 1);
    tcp.ask('7-0.wait.sse', 5);
    expect(tcp.sent.splice(0)).toEqual(['5 7-0.wait.sse']);
    tcp.ask('7-0.wait.sse', 5);
    vi.advanceTimersByTime(900);
    tcp.ask('7-0.wait.sse', 5);
    expect(tcp.sent).toEqual([]);
    vi.advanceTimersByTime(300);
    tcp.ask('7-0.wait.sse', 5);
    expect(tcp.sent.splice(0)).toEqual(['5 7-0.wait.sse']);
    tcp.ask('7-0.wait.sse', 6);
    expect(tcp.sent).toEqual(['6 7-0.wait.sse']);
  });

  test('is heard in whatever pieces it comes, and only what is a question of ours', () => {
    const { udp, tcp } = introduced();
    const names = Array.from({ length: 10 }, (_, i) => `${i}-0.wait.sse`);
    const foreign = overTcp('example.com', 1);
    const data = Buffer.concat([...names.map((name, i) => overTcp(name, i)), foreign, Buffer.from([0, 0])]);
    bellNumbers.set('3', 1);
    for (const byte of data) {
      tcp.receive(Buffer.from([byte]));
    }
    expect(tcp.sent.splice(0)).toEqual(['3 3-0.wait.sse']);
    expect(waits.keys().filter((key) => waits.get(key)! >= 0)).toHaveLength(2 + 9);
    tcp.ask(HELLO, 8);
    expect(tcp.sent).toEqual([`8 ${HELLO}`]);
    expect(udp.sent).toEqual([]);
  });

  test('is heard a few at a time, as nobody is woken meanwhile; and all at once when the connection ends', () => {
    const { tcp } = introduced();
    const held = () => waits.keys().filter((key) => key.endsWith('.wait.sse')).length;
    const repeat = (from: number) =>
      tcp.receive(Buffer.concat(Array.from({ length: 100 }, (_, i) => overTcp(`${from + i}-0.wait.sse`, 1))));
    repeat(0);
    expect(held()).toBe(25);
    repeat(100);
    expect(held()).toBe(25);
    vi.advanceTimersByTime(1);
    expect(held()).toBe(50);
    vi.advanceTimersByTime(10);
    expect(held()).toBe(200);
    repeat(200);
    tcp.end('upstream');
    expect(held()).toBe(300);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is answered if it is repeated and the resolver was not introduced: its worker shuts down', () => {
    const { udp } = introduced();
    const tcp = connection();
    tcp.ask('1-0.wait.sse', 1);
    tcp.ask('2-0.wait.sse', 2);
    tcp.ask('1-0.wait.sse', 3);
    expect(tcp.sent).toEqual([]);
    vi.advanceTimersByTime(5000);
    tcp.ask('1-0.wait.sse', 3);
    tcp.ask('2-0.wait.sse', 2);
    expect(tcp.sent).toEqual(['3 1-0.wait.sse', '2 2-0.wait.sse']);
    expect(udp.sent).toEqual([]);
  });

  test('before the resolver is introduced waits for that, and is not answered if it was answered meanwhile', () => {
    const { udp } = introduced();
    for (const [name, id] of [
      ['1-0.wait.sse', 1],
      ['2-0.wait.sse', 2],
      ['3-0.wait.sse', 3],
    ] as const) {
      udp.ask(name, id);
    }
    const tcp = connection();
    tcp.ask('1-0.wait.sse', 1);
    tcp.ask('2-0.wait.sse', 2);
    tcp.ask('3-0.wait.sse', 3);
    udp.hear('1-1');
    bellNumbers.set('1', 1);
    // Its ring was lost.
    bellNumbers.set('2', 1);
    vi.advanceTimersByTime(2500);
    tcp.ask(HELLO, 4);
    expect(tcp.sent).toEqual([`4 ${HELLO}`, '2 2-0.wait.sse']);
    vi.advanceTimersByTime(6000);
    expect(answersTo(udp, '3-1')).toEqual(['3 3-0.wait.sse']);
  });
});

test('a connection that ends answers one question, so that the resolver connects again at once', () => {
  const { udp, tcp } = introduced();
  udp.ask('1-0.wait.sse', 1);
  udp.ask('2-0.wait.sse', 2);
  tcp.end('downstream');
  expect(tcp.sent).toEqual(['1 1-0.wait.sse']);
  tcp.end('upstream');
  expect(tcp.sent).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
  expect(answersTo(udp, '2-1')).toEqual(['2 2-0.wait.sse']);
});

test('a connection that the resolver has ended answers nothing any more', () => {
  const { udp, tcp } = introduced();
  udp.ask('1-0.wait.sse', 1);
  tcp.end('upstream');
  tcp.end('downstream');
  expect(tcp.sent).toEqual([]);
  expect(answersTo(udp, '1-1')).toEqual(['1 1-0.wait.sse']);
});

test('a resolver whose worker was killed is sent nothing, and that is no error', () => {
  const { tcp } = introduced();
  const fail = vi.fn(() => {
    throw new Error('next filter failed');
  });
  tcp.sent.push = fail;
  bellNumbers.set('1', 1);
  expect(() => tcp.ask('1-0.wait.sse', 1)).not.toThrow();
  expect(fail).toHaveBeenCalledTimes(1);
});
