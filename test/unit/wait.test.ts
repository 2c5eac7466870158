import { describe, expect, test, vi } from 'vitest';
import { counts } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });

const { enter } = await import('../../src/channel/cursor.ts');
const { markBells } = await import('../../src/channel/wait.ts');

describe('names', () => {
  const readerOf = (channels: string[]) => ({
    cursors: channels.map((channel) => enter(channel, 'live')),
    lastEventId: undefined,
    starts: false,
    portion: 4096,
    spread: Math.random(),
    ended: false,
    searched: 0,
    peers: 0,
  });

  test('are one for all who wait for a small channel, and many for a large one: neighbors share one', () => {
    const crowdsOf = (subscribers: number) => {
      counts.entries.clear();
      const urls = Array.from({ length: subscribers }, () => markBells(readerOf(['crowded'])));
      const changes = urls.filter((url, i) => i > 0 && url !== urls[i - 1]).length;
      const sizes = [...new Set(urls)].map((url) => urls.filter((other) => other === url).length);
      return { count: sizes.length, largest: Math.max(...sizes), changes };
    };
    expect(crowdsOf(64)).toEqual({ count: 1, largest: 64, changes: 0 });
    expect(crowdsOf(256)).toEqual({ count: 4, largest: 64, changes: 3 });
    const most = crowdsOf(10000);
    expect(most.count).toBe(100);
    expect(most.largest).toBe(128);
  });

  test('are sound where leases were forgotten that are returned now, as after a jump of the clock', () => {
    counts.entries.clear();
    const { epoch, window } = readerOf(['jumped']).cursors[0]!;
    const leases = `${epoch}.subscribers.${window}`;
    counts.set(leases, -10000);
    const reader = readerOf(['jumped']);
    expect(markBells(reader)).toMatch(/^http:\/\/[0-9]+-[0-9a-z]+\.wait0\.sse\/$/);
    expect(reader.peers).toBe(0);
    counts.set(leases, 10000);
    expect(markBells(reader)).toMatch(/^http:\/\/[0-9]+-[0-9a-z]+\.wait0\.sse\/$/);
  });

  test('of as many channels as can wait fit into the DNS', () => {
    counts.entries.clear();
    const reader = readerOf(Array.from({ length: 20 }, (_, i) => `channel ${i}`));
    for (const { epoch } of reader.cursors) {
      counts.set(`bell.${Number.parseInt(epoch, 36) % 1024}`, 36 ** 6 - 1);
    }
    counts.set(`${reader.cursors[0]!.epoch}.subscribers.${reader.cursors[0]!.window}`, 1e9);
    reader.cursors[0]!.rank = 1e9 - 1;
    const longest = new URL(markBells(reader)).host.length + '.free'.length;
    expect(longest).toBeLessThanOrEqual(253);
  });
});
