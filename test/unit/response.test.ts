import { afterEach, describe, expect, test, vi } from 'vitest';

vi.useFakeTimers({ now: 60000000 });
const { openResponse } = await import('../../src/nginx/response.ts');

afterEach(() => {
  vi.restoreAllMocks();
  vi.clearAllTimers();
});

function open(variables: Record<string, string> = {}, end = Infinity) {
  const sent: string[] = [];
  const onBeat = vi.fn();
  const r = {
    method: 'GET',
    headersOut: {},
    variables,
    sendHeader() {},
    send: (text: string) => sent.push(text),
    finish() {},
  };
  return { sent, onBeat, response: openResponse(r as unknown as NginxHTTPRequest, onBeat, end, '') };
}

/** Until its first heartbeat a stream is looked after more often. */
function grow(sent: string[], milliseconds: number): void {
  vi.advanceTimersByTime(milliseconds);
  sent.length = 0;
}

describe('heartbeats', () => {
  test('are a write, a timer and a call each', () => {
    const { sent, onBeat } = open({ sse_heartbeat: '10s' });
    grow(sent, 10000);
    const timers = vi.spyOn(globalThis, 'setTimeout');
    vi.advanceTimersByTime(30000);
    expect(sent).toEqual([':\n', ':\n', ':\n']);
    expect(onBeat).toHaveBeenCalledTimes(4);
    expect(timers).toHaveBeenCalledTimes(3);
  });

  test('come every 5 seconds at first, and every 45 seconds then if nothing else is set', () => {
    const { sent, onBeat } = open();
    vi.advanceTimersByTime(39999);
    expect(sent.splice(0)).toEqual(['retry: 2000\n', ...Array(7).fill(':\n')]);
    expect(onBeat).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(sent.splice(0)).toEqual([':\n']);
    expect(onBeat).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(44999);
    expect(sent.splice(0)).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent).toEqual([':\n']);
    expect(onBeat).toHaveBeenCalledTimes(2);
  });

  test('come in time though nginx ends timers early', () => {
    const { sent } = open({ sse_heartbeat: '10s' });
    grow(sent, 10000);
    const timers = vi.spyOn(globalThis, 'setTimeout');
    for (let i = 0; i < 2; i++) {
      vi.setSystemTime(Date.now() - 100);
      vi.advanceTimersByTime(10000);
    }
    expect(sent).toEqual([':\n', ':\n']);
    expect(timers).toHaveBeenCalledTimes(2);
  });

  test('of streams that began at different times end together', () => {
    vi.setSystemTime(60000037);
    const set = vi.spyOn(globalThis, 'setTimeout');
    const { response } = open({ sse_heartbeat: '10s' });
    expect(set).toHaveBeenLastCalledWith(expect.any(Function), 4963);
    response.close();
    open({ sse_heartbeat: '500ms' });
    vi.advanceTimersByTime(500);
    expect(set).toHaveBeenLastCalledWith(expect.any(Function), 500);
    vi.setSystemTime(60000000);
  });

  test('are not waited for by the end of a lifetime', () => {
    const { sent, onBeat } = open({}, Date.now() + 3000);
    vi.advanceTimersByTime(3000);
    expect(onBeat).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onBeat).toHaveBeenCalledTimes(1);
    expect(sent).toEqual(['retry: 2000\n']);
  });

  test('wait for as long as something else is sent', () => {
    const { sent, response } = open({ sse_heartbeat: '10s' });
    for (let i = 0; i < 6; i++) {
      vi.advanceTimersByTime(4000);
      response.write('x');
    }
    expect(sent.splice(0).join('')).toBe('retry: 2000\nxxxxxx');
    vi.advanceTimersByTime(10000);
    expect(sent).toEqual([':\n']);
  });

  test('leave no timer behind a closed response', () => {
    const { response } = open();
    vi.advanceTimersByTime(45000);
    response.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a client that acknowledges nothing', () => {
  test('is lost when a heartbeat was not acknowledged before the next', () => {
    const variables: Record<string, string> = { sse_heartbeat: '10s', tcpinfo_snd_cwnd: '10' };
    const { onBeat, response } = open(variables);
    vi.advanceTimersByTime(10000);
    variables.tcpinfo_snd_cwnd = '1';
    expect(response.closed).toBe(false);
    vi.advanceTimersByTime(10000);
    expect(response.closed).toBe(true);
    expect(onBeat).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is lost after a heartbeat or more while events are sent, but not if something came through meanwhile', () => {
    const variables: Record<string, string> = { sse_heartbeat: '10s' };
    const { response } = open(variables);
    const seconds = (count: number, segments: string, roundTrip = '50') => {
      Object.assign(variables, { tcpinfo_snd_cwnd: segments, tcpinfo_rtt: roundTrip });
      for (let i = 0; i < count && !response.closed; i++) {
        vi.advanceTimersByTime(1000);
        response.write('x');
      }
      return response.closed;
    };
    expect([
      seconds(12, '1'),
      seconds(10, '2'),
      seconds(10, '1'),
      seconds(8, '1', '60'),
      seconds(12, '1', '60'),
    ]).toEqual([false, false, false, false, true]);
  });
});
