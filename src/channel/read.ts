import { serialize } from '../event-stream/serialize.ts';
import {
  FORGET_AFTER,
  firstPlace,
  idOf,
  lastKey,
  lastPlace,
  logKey,
  oldestUnexpired,
  openChannel,
} from './channel.ts';
import { formatPositions, type Position, parsePositions } from './position.ts';
import { type Lease, renewLease, returnLease } from './subscribers.ts';
import { batches, counts, log } from './zones.ts';

/** How long a place may stay taken but not filled, in milliseconds, before readers go on without it. */
const GRACE = 100;
/**
 * How long a Last-Event-ID is looked for, in milliseconds: the client may come from another server that follows
 * the same upstream and was ahead of this one.
 */
const LOOK_FOR_ID = 1000;
/** What one call of `read` takes from a channel, in characters; the rest follows with the next. */
const CHUNK = 65536;
/** So many events at once are left to other subscribers as one text. */
const BATCH = 4;

/** What a client that connects wants to see first. */
export interface Start {
  lastEventId: string | undefined;
  /** Events to replay to a client without a Last-Event-ID. */
  history: number;
}

/** Where a reader stands in one channel. */
export interface Cursor extends Position, Lease {
  channel: string;
  /** Where the newest place is told; kept, because it is looked up at every look. */
  lastKey: string;
  phase: Phase;
  /** Since when the next place is known to be taken but empty, or the id is looked for; 0 if it is not. */
  since: number;
  /** The newest place that was taken then. */
  upTo: number;
}

/**
 * - `search`: the client's Last-Event-ID is not in the log, up to the cursor's place, but may come.
 * - `lost`: it says nothing about this log.
 * - `replay`: reading what was there before the client; an empty place is an event that is gone.
 * - `live`: an empty place is one whose publisher was lost.
 */
type Phase = 'search' | 'lost' | 'replay' | 'live';

/** Reads one or several channels, each in the order of its log. */
export interface Reader {
  cursors: Cursor[];
  lastEventId: string | undefined;
  /** True once a channel was deleted. */
  ended: boolean;
  /** How many characters were read without being returned. */
  searched: number;
}

/**
 * Subscribes to channels. Call `keepReader` every now and then, and `closeReader` in the end.
 * @throws where the number zone is full; leases that were taken until then run out.
 */
export function openReader(channels: string[], start: Start): Reader {
  const reader: Reader = { cursors: [], lastEventId: start.lastEventId, ended: false, searched: 0 };
  for (let i = 0; i < channels.length; i++) {
    reader.cursors.push(enter(channels[i]!, 'replay'));
  }
  for (let i = 0; i < channels.length; i++) {
    const cursor = reader.cursors[i]!;
    const last = lastPlace(cursor.epoch) || 0;
    if (start.lastEventId) {
      resume(reader, cursor, start.lastEventId, last);
    } else {
      cursor.place = Math.max(firstPlace(cursor.epoch) - 1, last - start.history);
    }
  }
  return reader;
}

/** Keeps a reader counted as a subscriber: to be called at least twice a minute. */
export function keepReader(reader: Reader): void {
  try {
    reader.cursors.forEach(renewLease);
  } catch {
    // The zone is full. A count is not worth a stream.
  }
}

export function closeReader(reader: Reader): void {
  reader.cursors.forEach(returnLease);
}

/**
 * What a client without a Last-Event-ID should take for its position before it has received an event, so that
 * it misses nothing if it has to reconnect until then.
 */
export function startingId(reader: Reader): string {
  const newest = isSingle(reader) && log.get(logKey(reader.cursors[0]!.epoch, reader.cursors[0]!.place));
  return newest ? idOf(newest) : formatPositions(reader.cursors);
}

/** True while there is something to read that came before the client. */
export function isReplay(reader: Reader): boolean {
  return reader.cursors.some((cursor) => cursor.phase !== 'live');
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

/** What has come since the last call, in the wire format, and '' if nothing has. */
export function read(reader: Reader): string {
  const cursor = reader.cursors[0]!;
  if (reader.cursors.length > 1 || cursor.phase !== 'live' || cursor.since > 0) {
    return readAll(reader);
  }
  const last = counts.get(cursor.lastKey);
  if (last === cursor.place) {
    return '';
  }
  const event = last === cursor.place + 1 ? log.get(logKey(cursor.epoch, last)) : undefined;
  if (event === undefined) {
    return readAll(reader);
  }
  cursor.place++;
  return event;
}

function readAll(reader: Reader): string {
  // Joined once: to append to a string copies it, and the njs engine keeps every copy until the request ends.
  const texts: string[] = [];
  const cursors = reader.cursors;
  for (let i = 0; i < cursors.length; i++) {
    const cursor = cursors[i]!;
    const last = counts.get(cursor.lastKey);
    if (last === undefined || (last >= 0 && last < cursor.place)) {
      // The log was forgotten, because nothing came for long. The client's position has to be one in the new log.
      returnLease(cursor);
      cursors[i] = enter(cursor.channel, 'live');
      texts.push(`id: ${formatPositions(cursors)}\n\n`);
    } else if (last < 0) {
      reader.ended = true;
    } else if (last > cursor.place || cursor.phase !== 'live') {
      readCursor(reader, cursor, last, texts);
    }
  }
  return texts.length > 1 ? texts.join('') : texts[0] || '';
}

function readCursor(reader: Reader, cursor: Cursor, last: number, texts: string[]): void {
  if (cursor.phase === 'search' && !search(reader, cursor, last)) {
    return;
  }
  if (cursor.phase === 'lost') {
    skipToOldest(reader, cursor, last, texts);
  }
  const key =
    batches && last - cursor.place >= BATCH && isSingle(reader)
      ? `${logKey(cursor.epoch, cursor.place + 1)}-${last}`
      : '';
  const batch = key ? batches!.get(key) : undefined;
  if (batch !== undefined) {
    cursor.place = last;
    cursor.since = 0;
    texts.push(batch);
  } else {
    const first = texts.length;
    if (readEvents(reader, cursor, last, texts) && key) {
      keepBatch(key, texts.slice(first).join(''));
    }
  }
  if (cursor.place === last) {
    cursor.phase = 'live';
  }
}

/** Returns true if all events up to the place `last` were there. */
function readEvents(reader: Reader, cursor: Cursor, last: number, texts: string[]): boolean {
  let isWhole = true;
  for (let length = 0; cursor.place < last && length < CHUNK; ) {
    const event = log.get(logKey(cursor.epoch, cursor.place + 1));
    if (event !== undefined) {
      cursor.place++;
      cursor.since = 0;
      length += event.length;
      texts.push(event && !isSingle(reader) ? withPositions(reader, event) : event);
    } else if (cursor.place + 1 < firstPlace(cursor.epoch)) {
      skipToOldest(reader, cursor, last, texts);
      isWhole = false;
    } else {
      if (cursor.since === 0) {
        cursor.since = Date.now();
        cursor.upTo = last;
      }
      if (Date.now() - cursor.since < GRACE) {
        return false;
      }
      isWhole = false;
      if (cursor.phase === 'live') {
        closePlace(cursor);
      } else {
        skipToOldest(reader, cursor, cursor.upTo, texts);
      }
    }
  }
  return isWhole && cursor.place === last;
}

/** For other subscribers that are as far as this one. */
function keepBatch(key: string, text: string): void {
  try {
    batches!.set(key, text);
  } catch {
    // It has no room for so much. The others read event by event.
  }
}

function isSingle(reader: Reader): boolean {
  return reader.cursors.length === 1;
}

function withPositions(reader: Reader, event: string): string {
  return `id: ${formatPositions(reader.cursors)}${event.slice(event.indexOf('\n'))}`;
}

/** Whoever fills a place first wins, its publisher or a reader that gave it up: all readers see the same. */
function closePlace(cursor: Cursor): void {
  const key = logKey(cursor.epoch, cursor.place + 1);
  try {
    if (!log.add(key, '', FORGET_AFTER)) {
      return;
    }
  } catch {
    // The zone is full, as it was for the publisher: its client knows. All other readers end up here, too.
    cursor.place++;
  }
  ngx.log(ngx.WARN, `sse: channel "${cursor.channel}": place ${key} stayed empty, skipped`);
}

/** Goes on at the oldest event there is, and says so unless the client just asked for what history there is. */
function skipToOldest(reader: Reader, cursor: Cursor, upTo: number, texts: string[]): void {
  const from = cursor.place;
  cursor.place = oldestUnexpired(cursor.epoch, Math.max(from + 1, firstPlace(cursor.epoch)), upTo) - 1;
  cursor.since = 0;
  if (cursor.phase === 'replay' && !reader.lastEventId) {
    return;
  }
  const missed = cursor.phase === 'lost' ? null : cursor.place - from;
  cursor.phase = 'replay';
  const oldest = log.get(logKey(cursor.epoch, cursor.place + 1));
  texts.push(
    serialize({
      id: formatPositions(reader.cursors),
      type: 'sse-gap',
      data: JSON.stringify({
        channel: cursor.channel,
        lastEventId: reader.lastEventId,
        missed,
        oldest: oldest ? idOf(oldest) : null,
      }),
    }),
  );
}

function enter(channel: string, phase: Phase): Cursor {
  const epoch = openChannel(channel, 0);
  const cursor = { channel, epoch, lastKey: lastKey(epoch), place: 0, window: 0, phase, since: 0, upTo: 0 };
  renewLease(cursor);
  return cursor;
}

function resume(reader: Reader, cursor: Cursor, lastEventId: string, last: number): void {
  const positions = parsePositions(lastEventId);
  const own = positions.find((position) => position.epoch === cursor.epoch);
  let place = -1;
  if (own) {
    place = own.place;
  } else if (isSingle(reader)) {
    cursor.phase = 'search';
    cursor.since = Date.now();
    return;
  } else if (positions.length > 0 && positions.every((position) => isCursor(reader, position))) {
    // A channel that the client had not subscribed to before.
    place = last;
  }
  if (place >= 0 && place <= last) {
    cursor.place = place;
  } else {
    cursor.phase = 'lost';
  }
}

function isCursor(reader: Reader, position: Position): boolean {
  return reader.cursors.some((cursor) => cursor.epoch === position.epoch);
}

/**
 * Looks for the newest event with this id among those that came since the last search; from there on, or after
 * a second without it, the cursor can read. Returns false before that.
 */
function search(reader: Reader, cursor: Cursor, last: number): boolean {
  const from = Math.max(cursor.place, firstPlace(cursor.epoch));
  cursor.place = last;
  // The newest place of the last search is looked at again: it may not have been filled.
  for (let place = last; place >= from; place--) {
    const event = log.get(logKey(cursor.epoch, place));
    reader.searched += event ? event.length : 0;
    if (event && idOf(event) === reader.lastEventId) {
      cursor.place = place;
      cursor.phase = 'replay';
      cursor.since = 0;
      return true;
    }
  }
  if (Date.now() - cursor.since < LOOK_FOR_ID) {
    return false;
  }
  cursor.place = 0;
  cursor.phase = 'lost';
  return true;
}
