import { describe, expect, test, vi } from 'vitest';
import { query, session } from './resolver.ts';
import { shutDown } from './title.ts';
import { waits } from './zones.ts';

const { default: doorbellRelease } = await import('../../src/doorbell-release.ts');

describe('questions', () => {
  /** A connection of a resolver, and what it has been sent, in hexadecimal digits. */
  function connection() {
    const listeners: Record<string, (data: Buffer, flags: { last?: boolean }) => void> = {};
    const sent: string[] = [];
    doorbellRelease.release({
      on: (event: string, listener: (typeof listeners)[string]) => {
        listeners[event] = listener;
      },
      sendDownstream: (data: Buffer) => sent.push(data.toString('hex')),
    } as unknown as NginxStreamRequest);
    const ask = (name: string) => {
      const message = query(name, 1);
      listeners.upstream!(Buffer.concat([Buffer.from([0, message.length]), message]), {});
    };
    return { ask, sent, end: (side: string) => listeners[side]!(Buffer.from(''), { last: true }) };
  }
  const answer = (id: string, hex: string) => {
    const length = 12 + hex.length / 2 + 5;
    return `${length.toString(16).padStart(4, '0')}${id}81830001000000000000${hex}0000010001`;
  };
  const WAIT = '04776169740373736';
  const pid = String(process.pid);
  const wait = (bell: string) => `03${bell}2d30${WAIT}5`;

  test('of a resolver are all answered over its connection when the workers shut down', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session(40000);
    ask('1-0.wait.sse', 0xbeef);
    ask('2-0.wait.sse', 2);
    ask('3-0.wait.sse', 3);
    hear('2-1');
    ask(`${process.pid}-0.5.hello.sse`, 4);
    expect(sent).toEqual(['2 2-0.wait.sse', `4 ${process.pid}-0.5.hello.sse truncated`]);
    waits.set('40001 1-0.wait.sse', 9);
    const tcp = connection();
    tcp.ask(`${process.pid}-0.5.hello.sse`);
    expect(tcp.sent.splice(0)).toEqual([
      answer(
        '0001',
        Buffer.from(`${String.fromCharCode(pid.length + 2)}${pid}-0\x015\x05hello\x03sse`).toString('hex'),
      ),
    ]);
    vi.advanceTimersByTime(3000);
    expect(tcp.sent).toEqual([]);
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    expect(tcp.sent.splice(0)).toEqual([answer('beef', wait('31')) + answer('0003', wait('33'))]);
    hear('1-1');
    expect(sent).toHaveLength(2);
    expect([...waits.entries.keys()]).toEqual([`${process.pid}-0.5.hello.sse`, '40001 1-0.wait.sse']);
    // After a reload there are new workers, where somebody may still ask.
    ask('4-0.wait.sse', 5);
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect(tcp.sent).toEqual([answer('0005', wait('34'))]);
    vi.useRealTimers();
  });

  test('are answered a while after the shutdown was seen, however soon a late look is followed by the next', () => {
    vi.useFakeTimers();
    const { ask } = session(40003);
    ask('1-0.wait.sse');
    ask(`${process.pid}-0.6.hello.sse`);
    const { ask: introduce, sent } = connection();
    introduce(`${process.pid}-0.6.hello.sse`);
    sent.length = 0;
    const title = shutDown();
    vi.setSystemTime(Date.now() + 200);
    vi.advanceTimersToNextTimer();
    expect(title).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(200);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(300);
    title.mockRestore();
    expect(sent).toHaveLength(1);
    vi.useRealTimers();
  });

  test('of nobody are left: then nothing is sent', () => {
    vi.useFakeTimers();
    session();
    const known = connection();
    waits.set('78-0.hello.sse', 40002);
    known.ask('78-0.hello.sse');
    const unknown = connection();
    unknown.ask('79-0.hello.sse');
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect([known.sent.length, unknown.sent.length]).toEqual([1, 1]);
    vi.useRealTimers();
  });

  test('that are due when the workers shut down are answered over the connection, too', () => {
    vi.useFakeTimers();
    const { ask, hear, sent } = session(40000);
    ask(`${process.pid}-0.hello.sse`);
    for (let i = 0; i < 150; i++) {
      ask(`1-0.wait${i || ''}.sse`);
    }
    const tcp = connection();
    tcp.ask(`${process.pid}-0.hello.sse`);
    sent.length = tcp.sent.length = 0;
    hear('1-1');
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect(sent).toHaveLength(100);
    expect(tcp.sent.join('').match(/0[4-7]77616974/g)).toHaveLength(50);
    vi.useRealTimers();
  });

  test('of another worker are not', () => {
    vi.useFakeTimers();
    const { ask } = session(40000);
    ask('1-0.wait.sse');
    ask('0-0.hello.sse');
    const tcp = connection();
    tcp.ask('0-0.hello.sse');
    tcp.sent.length = 0;
    const title = shutDown();
    vi.advanceTimersByTime(1000);
    title.mockRestore();
    expect(tcp.sent).toEqual([]);
    vi.useRealTimers();
  });

  test.each(['upstream', 'downstream'])('are looked for until the connection ends (%s)', (side) => {
    vi.useFakeTimers();
    const { end } = connection();
    expect(vi.getTimerCount()).toBe(1);
    end(side);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
});
