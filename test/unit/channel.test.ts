import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { batches, counts, log, warnings } from './zones.ts';

const { append } = await import('../../src/channel/append.ts');
const { channelState, deleteChannel, findChannel, openChannel } = await import(
  '../../src/channel/channel.ts'
);
const reading = await import('../../src/channel/read.ts');
const { closeReader } = reading;
const { countSubscribers, renewLease, returnLease } = await import('../../src/channel/subscribers.ts');

const LIMITS = { history: 100, ttl: 60000 };
const openReader = (channels: string[], lastEventId: string | undefined, history: number) =>
  reading.openReader(channels, lastEventId, history, Date.now());
const read = (reader: ReturnType<typeof openReader>) => reading.read(reader, Date.now());
const follow = (channels: string[]) => openReader(channels, undefined, 0);

beforeEach(() => {
  log.entries.clear();
  counts.entries.clear();
  batches.entries.clear();
  warnings.length = 0;
  vi.useFakeTimers({ now: 60000000 });
});
afterEach(() => {
  vi.useRealTimers();
});

test('a channel that two create at the same time is one', () => {
  const epoch = openChannel('a', 60000);
  const get = vi.spyOn(counts, 'get').mockReturnValueOnce(undefined);
  expect(openChannel('a', 60000)).toBe(epoch);
  expect(get).toHaveBeenCalled();
  get.mockRestore();
  expect(findChannel('a')).toBe(epoch);
});

describe('append', () => {
  test('an event whose place a reader has given up gets another one', () => {
    append('a', { data: '1' }, LIMITS);
    const epoch = findChannel('a')!;
    log.set(`${epoch}-2`, '');
    expect(append('a', { data: '2' }, LIMITS).id).toBe(`${epoch}-3`);
    const reader = openReader(['a'], undefined, 9);
    expect(read(reader)).toBe(`id: ${epoch}-1\ndata: 1\n\nid: ${epoch}-3\ndata: 2\n\n`);
  });

  test('into a channel that was deleted at that moment makes a new one', () => {
    append('a', { data: '1' }, LIMITS);
    const old = findChannel('a')!;
    const pointer = counts.get('/a')!;
    deleteChannel(old);
    counts.set('/a', pointer);
    const id = append('a', { data: '2' }, LIMITS).id;
    expect(findChannel('a')).not.toBe(old);
    expect(id).toBe(`${findChannel('a')}-1`);
  });

  test('a history that was made shorter is trimmed at the next event', () => {
    for (let i = 0; i < 50; i++) {
      append('a', { data: String(i) }, LIMITS);
    }
    append('a', { data: 'x' }, { history: 5, ttl: 60000 });
    expect(channelState('a', findChannel('a')!, 0, 51).events).toBe(5);
    expect(log.entries.size).toBe(5);
    expect(channelState('a', findChannel('a')!, 0, 40).events).toBe(0);
  });
});

describe('read', () => {
  test('waits for a place that is taken, then closes it for everyone', () => {
    append('a', { data: '1' }, LIMITS);
    const epoch = findChannel('a')!;
    const readers = [follow(['a']), follow(['a'])];
    expect(readers.map(read)).toEqual(['', '']);
    counts.incr(`${epoch}.last`, 1);
    append('a', { data: '3' }, LIMITS);
    expect(readers.map(read)).toEqual(['', '']);
    vi.advanceTimersByTime(99);
    expect(readers.map(read)).toEqual(['', '']);
    vi.advanceTimersByTime(1);
    expect(readers.map(read)).toEqual(Array(2).fill(`id: ${epoch}-3\ndata: 3\n\n`));
    expect(warnings).toEqual([`sse: channel "a": place ${epoch}-2 stayed empty, skipped`]);
  });

  test('reads a place that is filled late, but in time', () => {
    const epoch = openChannel('a', 0);
    const reader = follow(['a']);
    read(reader);
    counts.incr(`${epoch}.last`, 1);
    expect(read(reader)).toBe('');
    log.add(`${epoch}-1`, 'id: 1\ndata: late\n\n');
    expect(read(reader)).toBe('id: 1\ndata: late\n\n');
  });

  test('a live reader that the log has left behind is told so', () => {
    append('a', { data: '1' }, LIMITS);
    const reader = follow(['a']);
    read(reader);
    for (let i = 2; i <= 9; i++) {
      append('a', { data: String(i) }, { history: 2, ttl: 60000 });
    }
    const epoch = findChannel('a');
    const gap = { channel: 'a', missed: 6, oldest: `${epoch}-8` };
    expect(read(reader)).toBe(
      `id: ${epoch}-7\nevent: sse-gap\ndata: ${JSON.stringify(gap)}\n\nid: ${epoch}-8\ndata: 8\n\nid: ${epoch}-9\ndata: 9\n\n`,
    );
  });

  test('takes a large log in pieces, each at the end of an event', () => {
    for (let i = 1; i <= 5; i++) {
      append('a', { data: 'x'.repeat(25000) }, LIMITS);
    }
    const reader = openReader(['a'], undefined, 5);
    const events = () => read(reader).split('\n\n').length - 1;
    // The first one is small: nobody waits for a turn before it.
    expect(events()).toBe(1);
    reader.portion = 65536;
    expect([events(), events(), events()]).toEqual([3, 1, 0]);
  });
});

test('a reader that ends when it has just given up an id tells of the gap', () => {
  append('a', { data: '1' }, LIMITS);
  for (const wait of [0, 999, 1000, 1500]) {
    const reader = openReader(['a'], 'unknown', 0);
    read(reader);
    vi.advanceTimersByTime(wait);
    expect(read(reader)).toBe('');
    expect(reading.giveUp(reader)).toMatch(/event: sse-gap\n[\s\S]*data: 1\n\n$/);
    expect(reading.giveUp(reader)).toBe('');
  }
});

describe('channels', () => {
  test('those who find a channel deleted agree on its next life', () => {
    append('a', { data: '1' }, LIMITS);
    const old = findChannel('a')!;
    deleteChannel(old);
    // One of two that open it at the same time is interrupted after it has found out that there is no channel.
    const add = counts.add.bind(counts);
    let other = '';
    counts.add = (key, value) => {
      counts.add = add;
      other = append('a', { data: 'other' }, LIMITS).id;
      return add(key, value);
    };
    const one = append('a', { data: 'one' }, LIMITS).id;
    const epoch = findChannel('a');
    expect(epoch).not.toBe(old);
    expect([other, one]).toEqual([`${epoch}-1`, `${epoch}-2`]);
  });
});

describe('many events at once', () => {
  function publish(from: number, to: number): string {
    const epoch = openChannel('a', 0);
    let text = '';
    for (let i = from; i <= to; i++) {
      append('a', { data: String(i) }, LIMITS);
      text += `id: ${epoch}-${i}\ndata: ${i}\n\n`;
    }
    return text;
  }

  test('are read by one reader for all that are as far', () => {
    const readers = [follow(['a']), follow(['a'])];
    const text = publish(1, 4);
    expect(read(readers[0]!)).toBe(text);
    expect(readers[0]!.searched).toBe(text.length);
    log.entries.clear();
    expect(read(readers[1]!)).toBe(text);
    const next = publish(5, 5);
    expect(readers.map(read)).toEqual([next, next]);
  });

  test('are read by a reader itself that is not as far, or has several channels', () => {
    const [reader, late, several] = [follow(['a']), follow(['a']), follow(['a', 'b'])];
    publish(1, 1);
    read(reader!);
    const text = publish(2, 6);
    expect(read(reader!)).toBe(text);
    const epoch = findChannel('a');
    expect(read(late!)).toBe(`id: ${epoch}-1\ndata: 1\n\n${text}`);
    expect(read(several!)).toContain(`id: ${epoch}-6,${findChannel('b')}-0\ndata: 6\n\n`);
  });

  test('are not left to others with a hole in them, or where there is no room', () => {
    const readers = [follow(['a']), follow(['a'])];
    publish(1, 1);
    counts.incr(`${findChannel('a')}.last`, 1);
    const rest = publish(3, 6);
    readers.map(read);
    vi.advanceTimersByTime(100);
    expect(read(readers[0]!)).toBe(rest);
    expect(batches.entries.size).toBe(0);
    expect(read(readers[1]!)).toBe(rest);

    batches.free = 262144;
    const text = publish(7, 11);
    expect(readers.map(read)).toEqual([text, text]);
    expect([...batches.entries.values()].join('')).not.toContain('data: 11');
    batches.free = 1000000;
  });
});

describe('leases', () => {
  test('count while they are renewed, and run out if they are not', () => {
    const renewed = { epoch: 'e', window: 0, rank: 0 };
    const killed = { epoch: 'e', window: 0, rank: 0 };
    renewLease(renewed, Date.now());
    renewLease(killed, Date.now());
    expect(countSubscribers('e')).toBe(2);
    vi.advanceTimersByTime(90000);
    renewLease(renewed, Date.now());
    expect(countSubscribers('e')).toBe(2);
    vi.advanceTimersByTime(90000);
    renewLease(renewed, Date.now());
    expect(countSubscribers('e')).toBe(1);
    returnLease(renewed);
    expect(countSubscribers('e')).toBe(0);
  });

  test('a reader has one in each of its channels', () => {
    const reader = follow(['a', 'b']);
    expect([countSubscribers(findChannel('a')!), countSubscribers(findChannel('b')!)]).toEqual([1, 1]);
    closeReader(reader);
    expect([countSubscribers(findChannel('a')!), countSubscribers(findChannel('b')!)]).toEqual([0, 0]);
  });
});
