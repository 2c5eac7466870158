import { type CatchUp, createCatchUp } from './catch-up.ts';
import { firstPlace, idAt, logKey } from './channel.ts';
import { batchKey, enter, type Reader } from './cursor.ts';
import { formatPositions } from './position.ts';
import { renewLease, returnLease } from './subscribers.ts';
import { batches, counts, log } from './zones.ts';

/** Made when it is needed first: most subscribers are quiet, and the njs engine makes each function for each of them. */
let catchUp: CatchUp | undefined;

/**
 * Subscribes to channels. Call `keepReader` every now and then, and `closeReader` in the end.
 * @param history how many events to replay to a client without a Last-Event-ID.
 * @throws where the number zone is full; leases that were taken until then run out.
 */
export function openReader(channels: string[], lastEventId: string | undefined, history: number): Reader {
  const spread = Math.random();
  const reader: Reader = { cursors: [], lastEventId, spread, ended: false, searched: 0, peers: 0 };
  for (let i = 0; i < channels.length; i++) {
    reader.cursors[i] = enter(channels[i]!, 'live');
  }
  for (let i = 0; i < channels.length; i++) {
    const cursor = reader.cursors[i]!;
    // Negative in a channel that is deleted at this moment, which the first look finds out.
    const last = counts.get(cursor.lastKey) || 0;
    cursor.place = last > 0 ? last : 0;
    if (lastEventId) {
      if (lastEventId !== logKey(cursor.epoch, cursor.place)) {
        catchUp = catchUp || createCatchUp();
        catchUp.resume(reader, cursor);
      }
    } else if (history > 0 && cursor.place > 0) {
      cursor.phase = 'replay';
      cursor.place = Math.max(firstPlace(cursor.epoch) - 1, cursor.place - history);
    }
  }
  return reader;
}

/** Keeps a reader counted as a subscriber: to be called more often than once in 90 seconds, at the time `now`. */
export function keepReader(reader: Reader, now: number): void {
  try {
    for (let i = 0; i < reader.cursors.length; i++) {
      renewLease(reader.cursors[i]!, now);
    }
  } catch {
    // The zone is full. A count is not worth a stream.
  }
}

export function closeReader(reader: Reader): void {
  for (let i = 0; i < reader.cursors.length; i++) {
    returnLease(reader.cursors[i]!);
  }
}

/**
 * What a client without a Last-Event-ID should take for its position before it has received an event, so that
 * it misses nothing if it has to reconnect until then.
 */
export function startingId(reader: Reader): string {
  const cursor = reader.cursors[0]!;
  const newest = reader.cursors.length === 1 && cursor.place > 0 ? idAt(cursor.epoch, cursor.place) : null;
  return newest || formatPositions(reader.cursors);
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

/** What has come since the last call, in the wire format, and '' if nothing has. */
export function read(reader: Reader): string {
  const cursor = reader.cursors[0]!;
  if (isPlain(reader)) {
    const last = counts.get(cursor.lastKey);
    if (last === cursor.place) {
      return '';
    }
    const isNext = last === cursor.place + 1;
    const key = isNext ? logKey(cursor.epoch, last) : batchKey(cursor, last || 0);
    const text = isNext ? log.get(key) : (key && batches!.get(key)) || undefined;
    if (text !== undefined) {
      cursor.place = last!;
      return text;
    }
  }
  catchUp = catchUp || createCatchUp();
  return catchUp.readAll(reader);
}
