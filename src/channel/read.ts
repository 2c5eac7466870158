import { type CatchUp, createCatchUp } from './catch-up.ts';
import { logKey } from './channel.ts';
import { batchKey, enter, type Reader, settle } from './cursor.ts';
import { renewLease, returnLease } from './subscribers.ts';
import { batches, counts, log } from './zones.ts';

/** All that most who resume have missed; what takes longer waits for its turn. */
const FIRST = 4096;

/** Made when it is needed first: most subscribers are quiet, and the njs engine makes each function for each of them. */
let catchUp: CatchUp | undefined;

/**
 * Subscribes to channels. Call `keepReader` every now and then, and `closeReader` in the end.
 * @param history how many events to replay to a client without a Last-Event-ID.
 * @param now in milliseconds since 1970.
 * @throws where the number zone has no room for a new channel.
 */
export function openReader(
  channels: string[],
  lastEventId: string | undefined,
  history: number,
  now: number,
): Reader {
  const spread = Math.random();
  const starts = !lastEventId;
  const reader: Reader = {
    cursors: [],
    lastEventId,
    starts,
    portion: FIRST,
    spread,
    ended: false,
    searched: 0,
    peers: 0,
  };
  for (let i = 0; i < channels.length; i++) {
    reader.cursors[i] = enter(channels[i]!, 'live');
  }
  for (let i = 0; i < channels.length; i++) {
    const cursor = reader.cursors[i]!;
    // Negative in a channel that is deleted at this moment, which the first look finds out.
    const last = counts.get(cursor.lastKey) || 0;
    cursor.place = last > 0 ? last : 0;
    settle(cursor, now);
    if (lastEventId) {
      if (lastEventId !== logKey(cursor.epoch, cursor.place)) {
        catchUp = catchUp || createCatchUp();
        catchUp.resume(reader, cursor, now);
      }
    } else if (history > 0 && cursor.place > 0) {
      catchUp = catchUp || createCatchUp();
      catchUp.startHistory(cursor, history);
    }
  }
  return reader;
}

/** Keeps a reader counted as a subscriber: to be called more often than once in 90 seconds, at the time `now`. */
export function keepReader(reader: Reader, now: number): void {
  for (let i = 0; i < reader.cursors.length; i++) {
    renewLease(reader.cursors[i]!, now);
  }
}

export function closeReader(reader: Reader): void {
  for (let i = 0; i < reader.cursors.length; i++) {
    returnLease(reader.cursors[i]!);
  }
}

/** What a client is told whose id was not found until now, and may never be: the gap, and the oldest events. */
export function giveUp(reader: Reader): string {
  return catchUp ? catchUp.giveUp(reader) : '';
}

/** True while there is something to read that came before the client. */
export function isReplay(reader: Reader): boolean {
  for (let i = 0; i < reader.cursors.length; i++) {
    if (reader.cursors[i]!.phase !== 'live') {
      return true;
    }
  }
  return false;
}

/** True if there is something to read, or soon will be, or time will tell. */
export function isUnsettled(reader: Reader): boolean {
  for (let i = 0; i < reader.cursors.length; i++) {
    const cursor = reader.cursors[i]!;
    if (cursor.since > 0 || counts.get(cursor.lastKey) !== cursor.place) {
      return true;
    }
  }
  return false;
}

/** True if what comes next can only be the event in the next place of one channel. */
export function isPlain(reader: Reader): boolean {
  const cursor = reader.cursors[0]!;
  return reader.cursors.length === 1 && cursor.phase === 'live' && cursor.since === 0;
}

/** What has come since the last call, in the wire format, and '' if nothing has; `now` in milliseconds since 1970. */
export function read(reader: Reader, now: number): string {
  const cursor = reader.cursors[0]!;
  if (isPlain(reader)) {
    const last = counts.get(cursor.lastKey);
    if (last === cursor.place) {
      settle(cursor, now);
      return '';
    }
    const isNext = last === cursor.place + 1;
    const key = isNext ? logKey(cursor.epoch, last) : batchKey(cursor, last || 0);
    const text = isNext ? log.get(key) : (key && batches!.get(key)) || undefined;
    if (text !== undefined) {
      cursor.place = last!;
      settle(cursor, now);
      return text;
    }
  }
  catchUp = catchUp || createCatchUp();
  return catchUp.readAll(reader, now);
}
