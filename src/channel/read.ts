import { serialize } from '../event-stream/serialize.ts';
import { FORGET_AFTER, firstPlace, idOf, lastPlace, logKey, openChannel } from './channel.ts';
import { formatPositions, type Position, parsePositions } from './position.ts';
import { type Lease, renewLease, returnLease, takeLease } from './subscribers.ts';
import { log } from './zones.ts';

/** How long a place may stay taken but not filled, in milliseconds, before readers go on without it. */
const GRACE = 100;
/**
 * How long a Last-Event-ID is looked for, in milliseconds: the client may come from another server that follows
 * the same upstream and was ahead of this one.
 */
const LOOK_FOR_ID = 1000;
/** What one call of `read` takes from a channel, in characters; the rest follows with the next. */
const CHUNK = 262144;

/** What a client that connects wants to see first. */
export interface Start {
  lastEventId: string | undefined;
  /** Events to replay to a client without a Last-Event-ID. */
  history: number;
}

/** Where a reader stands in one channel. */
interface Cursor extends Position, Lease {
  channel: string;
  phase: Phase;
  /** Since when the next place is known to be taken but empty, or the id is looked for; 0 if it is not. */
  since: number;
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
}

/**
 * Subscribes to channels. Call `closeReader` in the end.
 * @throws where the number zone is full; leases that were taken until then run out.
 */
export function openReader(channels: string[], start: Start): Reader {
  const reader: Reader = { cursors: [], lastEventId: start.lastEventId, ended: false };
  channels.forEach((channel) => {
    const cursor: Cursor = { channel, epoch: '', place: 0, window: 0, phase: 'replay', since: 0 };
    enter(cursor);
    reader.cursors.push(cursor);
  });
  reader.cursors.forEach((cursor) => {
    const last = lastPlace(cursor.epoch) || 0;
    if (start.lastEventId) {
      resume(reader, cursor, start.lastEventId, last);
    } else {
      cursor.place = Math.max(firstPlace(cursor.epoch) - 1, last - start.history);
    }
  });
  return reader;
}

export function closeReader(reader: Reader): void {
  reader.cursors.forEach(returnLease);
}

/**
 * What a client without a Last-Event-ID should take for its position before it has received an event, so that
 * it misses nothing if it has to reconnect until then.
 */
export function startingId(reader: Reader): string {
  const newest = isSingle(reader) && log.get(logKey(reader.cursors[0]!, 0));
  return newest ? idOf(newest) : formatPositions(reader.cursors);
}

/** What has come since the last call, in the wire format, and '' if nothing has. */
export function read(reader: Reader): string {
  let text = '';
  reader.cursors.forEach((cursor) => {
    renewLease(cursor);
    const last = lastPlace(cursor.epoch);
    if (last === undefined || (last >= 0 && last < cursor.place)) {
      // The log was forgotten, because nothing came for long. The client's position has to be one in the new log.
      returnLease(cursor);
      enter(cursor);
      text += `id: ${formatPositions(reader.cursors)}\n\n`;
    } else if (last < 0) {
      reader.ended = true;
    } else {
      text += readCursor(reader, cursor, last);
    }
  });
  return text;
}

function readCursor(reader: Reader, cursor: Cursor, last: number): string {
  if (cursor.phase === 'search' && !search(cursor, reader.lastEventId!, last)) {
    return '';
  }
  let text = cursor.phase === 'lost' ? skipToOldest(reader, cursor, last) : '';
  while (cursor.place < last && text.length < CHUNK) {
    const event = log.get(logKey(cursor, 1));
    if (event !== undefined) {
      cursor.place++;
      cursor.since = 0;
      text += event && !isSingle(reader) ? withPositions(reader, event) : event;
    } else if (cursor.place + 1 < firstPlace(cursor.epoch)) {
      text += skipToOldest(reader, cursor, last);
    } else {
      cursor.since = cursor.since || Date.now();
      if (Date.now() - cursor.since < GRACE) {
        return text;
      }
      if (cursor.phase === 'live') {
        closePlace(cursor);
      } else {
        text += skipToOldest(reader, cursor, last);
      }
    }
  }
  if (cursor.place === last) {
    cursor.phase = 'live';
  }
  return text;
}

function isSingle(reader: Reader): boolean {
  return reader.cursors.length === 1;
}

function withPositions(reader: Reader, event: string): string {
  return `id: ${formatPositions(reader.cursors)}${event.slice(event.indexOf('\n'))}`;
}

/** Whoever fills a place first wins, its publisher or a reader that gave it up: all readers see the same. */
function closePlace(cursor: Cursor): void {
  const key = logKey(cursor, 1);
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
function skipToOldest(reader: Reader, cursor: Cursor, last: number): string {
  const from = cursor.place;
  cursor.place = Math.max(from, firstPlace(cursor.epoch) - 1);
  while (cursor.place < last && !log.has(logKey(cursor, 1))) {
    cursor.place++;
  }
  cursor.since = 0;
  if (cursor.phase === 'replay' && !reader.lastEventId) {
    return '';
  }
  const missed = cursor.phase === 'lost' ? null : cursor.place - from;
  cursor.phase = 'replay';
  const oldest = log.get(logKey(cursor, 1));
  return serialize({
    id: formatPositions(reader.cursors),
    type: 'sse-gap',
    data: JSON.stringify({
      channel: cursor.channel,
      lastEventId: reader.lastEventId,
      missed,
      oldest: oldest ? idOf(oldest) : null,
    }),
  });
}

function enter(cursor: Cursor): void {
  cursor.epoch = openChannel(cursor.channel, 0);
  cursor.place = 0;
  takeLease(cursor);
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
function search(cursor: Cursor, id: string, last: number): boolean {
  const from = Math.max(cursor.place, firstPlace(cursor.epoch));
  cursor.place = last;
  // The newest place of the last search is looked at again: it may not have been filled.
  for (let place = last; place >= from; place--) {
    const event = log.get(logKey({ epoch: cursor.epoch, place }, 0));
    if (event && idOf(event) === id) {
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
