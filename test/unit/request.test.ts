import './zones.ts';
import { describe, expect, test } from 'vitest';
import { NOT_SET, parseChannels } from '../../src/channel/name.ts';
import { formatPositions, parsePositions } from '../../src/channel/position.ts';
import { pollDelay } from '../../src/channel/wait.ts';
import { isEventStream } from '../../src/event-stream/media-type.ts';
import { acceptsEventStream } from '../../src/nginx/negotiate.ts';
import { countSetting, sizeSetting, timeSetting } from '../../src/nginx/settings.ts';

describe('channels', () => {
  test.each([
    [NOT_SET, '/events/news', ['news']],
    [NOT_SET, '/a/b/c', ['c']],
    [NOT_SET, '/events/a,b,a', ['a', 'b']],
    [NOT_SET, '/events/ü-☃.x:y@z', ['ü-☃.x:y@z']],
    ['rooms/blue', '/x', ['rooms/blue']],
    ['', '/x', undefined],
    [NOT_SET, '/events/', undefined],
    [NOT_SET, '/a,,b', undefined],
    [NOT_SET, '/a b', undefined],
    [NOT_SET, '/a\0', undefined],
    [NOT_SET, `/${'x'.repeat(128)}`, ['x'.repeat(128)]],
    [NOT_SET, `/${'x'.repeat(129)}`, undefined],
    [NOT_SET, `/${Array.from({ length: 64 }, (_, i) => i)}`, Array.from({ length: 64 }, (_, i) => String(i))],
    [NOT_SET, `/${Array.from({ length: 65 }, (_, i) => i)}`, undefined],
  ])('%j and %j name %j', (setting, path, channels) => {
    expect(parseChannels(setting, path)).toEqual(channels);
  });
});

describe('positions', () => {
  test('survive being an id', () => {
    const positions = [
      { epoch: 'a1', place: 0 },
      { epoch: 'zzzzzzzzzzz', place: 999999999999999 },
    ];
    const id = formatPositions(positions.map((position) => ({ ...position, phase: 'live' })));
    expect(id).toBe('a1-0,zzzzzzzzzzz-999999999999999');
    expect(parsePositions(id)).toEqual(positions);
  });

  test('that are lost, and not told yet, are nowhere', () => {
    expect(formatPositions([{ epoch: 'a1', place: 7, phase: 'lost' }])).toBe('0-0');
  });

  test.each(['', '42', 'a-', '-1', 'a-1,', 'A-1', 'a-1x', 'a-1.5', 'a--1', 'a-1000000000000000'])(
    '%j is a foreign id',
    (id) => {
      expect(parsePositions(id)).toEqual([]);
    },
  );
});

test('polling slows down in silence, to a tenth', () => {
  expect([0, 640, 3200, 6400, 3600000].map((idle) => pollDelay(20, idle))).toEqual([20, 20, 100, 200, 200]);
});

test.each([
  [undefined, true],
  ['', true],
  ['*/*', true],
  ['text/*;q=0.5', true],
  ['TEXT/EVENT-STREAM', true],
  ['text/html, text/event-stream ; q=0.001', true],
  ['text/html', false],
  ['*/*;q=0', false],
  ['text/event-stream; q=0.000, */*', false],
  ['text/event-stream;q=1, */*;q=0', true],
  ['text/event-streamx', false],
])('Accept: %s', (accept, accepted) => {
  expect(acceptsEventStream(accept)).toBe(accepted);
});

describe('settings', () => {
  const request = (value?: string) => ({ variables: { sse_x: value } }) as unknown as NginxHTTPRequest;

  test.each([
    [undefined, 7000],
    ['', 7000],
    ['1', 1000],
    ['250ms', 250],
    ['15s', 15000],
    ['015s', 15000],
    ['2m', 120000],
    ['1h', 3600000],
    ['30d', 2592000000],
  ])('the time %j is %d ms', (value, ms) => {
    expect(timeSetting(request(value), 'sse_x', 7000, 100)).toBe(ms);
  });

  test.each(['15x', '1.5s', '-1', 's', '99ms', '31d', '1 s', '1S'])('%j is no time', (value) => {
    expect(() => timeSetting(request(value), 'sse_x', 7000, 100)).toThrow(
      `$sse_x is "${value}", but has to be a time from 100ms to 30d, like 15s`,
    );
  });

  test.each([
    [undefined, 9],
    ['10', 10],
    ['0010', 10],
    ['64k', 65536],
    ['2M', 2097152],
  ])('the size %j is %d bytes', (value, size) => {
    expect(sizeSetting(request(value), 'sse_x', 9, 4194304)).toBe(size);
  });

  test.each(['0', '1g', '5m', 'k', '-1', '1.5k'])('%j is no size', (value) => {
    expect(() => sizeSetting(request(value), 'sse_x', 9, 4194304)).toThrow(
      'has to be a size up to 4m, like 64k',
    );
  });

  test('a count is a whole number', () => {
    expect(countSetting(request('12'), 'sse_x', 1, 100)).toBe(12);
    for (const value of ['0', '101', '1k', 'all']) {
      expect(() => countSetting(request(value), 'sse_x', 1, 100)).toThrow(
        'has to be a whole number from 1 to 100',
      );
    }
  });
});

test.each([
  ['text/event-stream', true],
  ['Text/Event-Stream', true],
  ['text/event-stream; charset=utf-8', true],
  ['text/event-stream \t;charset=utf-8', true],
  ['text/event-stream ', true],
  ['text/event-streams', false],
  ['text/event-stream, text/html', false],
  ['text/event', false],
  ['', false],
  [undefined, false],
])('%j is the type of an event stream: %j', (type, expected) => {
  expect(isEventStream(type)).toBe(expected);
});
