import { describe, expect, test } from 'vitest';
import { backoff } from '../../src/upstream/backoff.ts';
import { resumeHeaders } from '../../src/upstream/last-event-id.ts';
import { redirectTarget } from '../../src/upstream/redirect.ts';

describe('backoff', () => {
  test('doubles from a second to a quarter of a minute, times a random number', () => {
    expect([0, 1, 2, 3, 5, 6, 7, 1000].map((failures) => backoff(failures, undefined, 1))).toEqual([
      1000, 2000, 4000, 8000, 15000, 15000, 15000, 15000,
    ]);
    expect(backoff(3, undefined, 0.5)).toBe(4000);
    expect(backoff(3, undefined, 0)).toBe(0);
  });

  test("waits for the upstream's retry after a connection that worked, and longer after failures", () => {
    expect(backoff(0, 50, 1)).toBe(50);
    expect(backoff(0, 300000, 0)).toBe(300000);
    expect(backoff(3, 50, 1)).toBe(8000);
    expect(backoff(2, 3000, 1)).toBe(12000);
    expect(backoff(4, 50, 0)).toBe(50);
    expect(backoff(100, 50, 1)).toBe(15000);
    expect(backoff(100, 300000, 1)).toBe(300000);
  });

  test('never lets an upstream that asks for no wait turn it into a loop', () => {
    expect(backoff(0, 0, 0)).toBe(20);
    expect(backoff(1, 0, 1)).toBe(2000);
  });
});

test('a retry longer than a day, or than a timer can be, is a day', () => {
  for (const retry of [86400001, 2 ** 32, 1e30, Number.POSITIVE_INFINITY]) {
    expect(backoff(0, retry, 0)).toBe(86400000);
    expect(backoff(1, retry, 1)).toBe(86400000);
  }
});

describe('resumeHeaders', () => {
  test.each(['1', 'ünö ☃', 'a\tb', ' '.repeat(3), 'x'.repeat(8000)])('%j is sent', (id) => {
    expect(resumeHeaders(id)).toEqual({ 'Last-Event-ID': id });
  });

  test.each(['', '\x01', 'a\x7f', '\x1fb', 'x'.repeat(8001), '☃'.repeat(2667)])('%j is not sent', (id) => {
    expect(resumeHeaders(id)).toEqual({});
  });
});

describe('redirectTarget', () => {
  const from = (location: string, url?: string) => redirectTarget(location, 'a.example', '443', url);

  test.each([
    ['/b', { path: '/b', args: '' }],
    ['/b%20c?d=%2F&e', { path: '/b c', args: 'd=%2F&e' }],
    ['https://a.example/b?c', { path: '/b', args: 'c' }],
    ['https://A.EXAMPLE:443/b#c', { path: '/b', args: '' }],
    ['https://a.example?c', { path: '/', args: 'c' }],
    ['http://a.example/b', { url: 'http://a.example/b' }],
    ['https://a.example:8443/b', { url: 'https://a.example:8443/b' }],
    ['https://b.example/c?d#e', { url: 'https://b.example/c?d' }],
    ['mailto:a@example.com', undefined],
    ['ftp://a.example/', undefined],
    ['b', undefined],
    ['//b.example/c', undefined],
    ['/%', undefined],
  ])('%s', (location, target) => {
    expect(from(location)).toEqual(target);
  });

  test('a path after a redirect to another server is on that server', () => {
    expect(from('/c', 'https://b.example/x/y?z')).toEqual({ url: 'https://b.example/c' });
    expect(from('https://a.example/c', 'https://b.example/x')).toEqual({ url: 'https://a.example/c' });
  });
});
