import { afterEach, describe, expect, test, vi } from 'vitest';

vi.useFakeTimers({ now: 60000000 });
const { openResponse } = await import('../../src/nginx/response.ts');

afterEach(() => {
  vi.clearAllTimers();
});

function open(settings: Record<string, string> = {}) {
  const sent: string[] = [];
  const onBeat = vi.fn();
  const r = {
    method: 'GET',
    headersOut: {},
    variables: settings,
    sendHeader() {},
    send: (text: string) => sent.push(text),
    finish() {},
  };
  return { sent, onBeat, response: openResponse(r as unknown as NginxHTTPRequest, onBeat) };
}

describe('heartbeats', () => {
  test('take two writes and two timers each, and one call', () => {
    const { sent, onBeat } = open({ sse_heartbeat: '10s' });
    const timers = vi.spyOn(globalThis, 'setTimeout');
    vi.advanceTimersByTime(3 * 11000);
    expect(sent.splice(0)).toEqual(['retry: 2000\n\n', ':\n', '\n', ':\n', '\n', ':\n', '\n']);
    expect(onBeat).toHaveBeenCalledTimes(3);
    expect(timers).toHaveBeenCalledTimes(6);
  });

  test('wait for as long as something else is sent', () => {
    const { sent, response } = open({ sse_heartbeat: '10s' });
    for (let i = 0; i < 6; i++) {
      vi.advanceTimersByTime(6000);
      response.write('x');
    }
    expect(sent.splice(0).join('')).toBe('retry: 2000\n\nxxxxxx');
    vi.advanceTimersByTime(10000);
    expect(sent).toEqual([':\n']);
  });

  test('leave no timer behind a closed response', () => {
    const { response } = open();
    vi.advanceTimersByTime(20000);
    response.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
