import { describe, expect, test } from 'vitest';
import { counts } from './zones.ts';

const { enter } = await import('../../src/channel/cursor.ts');
const { markBells } = await import('../../src/channel/wait.ts');

describe('names', () => {
  const readerOf = (channels: string[]) => ({
    cursors: channels.map((channel) => enter(channel, 'live')),
    lastEventId: undefined,
    spread: Math.random(),
    ended: false,
    searched: 0,
    peers: 0,
  });

  test('are one for all who wait for a small channel, and many for a large one', () => {
    counts.entries.clear();
    const namesOfMore = (subscribers: number) => {
      const readers = Array.from({ length: subscribers }, () => readerOf(['crowded']));
      return new Set(readers.map(markBells)).size;
    };
    expect(namesOfMore(64)).toBe(1);
    expect(namesOfMore(256)).toBe(5);
    expect(namesOfMore(10000)).toBe(100);
    // As after a jump of the clock, when leases were forgotten that are returned now.
    const reader = readerOf(['crowded']);
    counts.set(`${reader.cursors[0]!.epoch}.subscribers.${reader.cursors[0]!.window}`, -10000);
    expect(markBells(reader)).toMatch(/^http:\/\/[0-9]+-[0-9a-z]+\.wait\.sse\/$/);
    expect(reader.peers).toBe(0);
  });

  test('of as many channels as can wait fit into the DNS', () => {
    counts.entries.clear();
    const reader = readerOf(Array.from({ length: 20 }, (_, i) => `channel ${i}`));
    for (const { epoch } of reader.cursors) {
      counts.set(`bell.${Number.parseInt(epoch, 36) % 1024}`, 36 ** 6 - 1);
    }
    counts.set(`${reader.cursors[0]!.epoch}.subscribers.${reader.cursors[0]!.window}`, 1e9);
    reader.spread = 1 - Number.EPSILON;
    expect(new URL(markBells(reader)).host.length).toBeLessThanOrEqual(253);
  });
});
