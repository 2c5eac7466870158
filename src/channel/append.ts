import { type ServerEvent, serializeFields } from '../event-stream/serialize.ts';
import {
  counterTimeout,
  epochNumber,
  forgetId,
  keepChannel,
  lastPlace,
  logKey,
  noteId,
  noteTtl,
  openChannel,
  takePlace,
} from './channel.ts';
import type { Position } from './position.ts';
import { ringBell } from './ring.ts';
import { counts, log, zoneFullError } from './zones.ts';

/** What stays free of the log, in bytes, or a sixteenth of a small one. */
const RESERVE = 65536;
/** What an event takes beside its fields, in bytes: its entry, its id, and the rest of a page. */
const AROUND = 8192;
/** How many events one that is appended trims at the most. */
const TRIM_AT_ONCE = 100;
/** Never read. */
const EXPIRE = 'expire';

/** Bounds of a channel's log. */
export interface Limits {
  /** How many events it holds at the most. */
  history: number;
  /** How long an event lives, in milliseconds. */
  ttl: number;
}

/** Where an event was appended. */
export interface Appended extends Position {
  /** Its own, or `<epoch>-<place>`. */
  id: string;
  /** Whether it wakes somebody who waits for an event. */
  wakes: boolean;
}

/**
 * Appends an event to a channel, which is created if need be.
 *
 * `incr` takes the next place, then `add` fills it. Both are atomic, so any number of workers may append at once.
 * A reader that has waited in vain for a place to be filled closes it with an empty entry (see catch-up.ts): `add`
 * then fails, and the event gets another place.
 *
 * @throws where a zone is full; the event is then not in the log.
 */
export function append(channel: string, event: ServerEvent, limits: Limits): Appended {
  const fields = serializeFields(event);
  for (;;) {
    const number = epochNumber(channel);
    const epoch = number === undefined ? '' : number.toString(36);
    if (epoch !== '') {
      makeRoom(epoch, fields, limits);
      // First, so that the channel always outlives its counters: readers hear of its next life by them.
      keepChannel(channel, number!, limits.ttl);
    }
    const place = epoch === '' ? 0 : takePlace(epoch, limits.ttl);
    if (place > 0) {
      trim(epoch, place, limits);
      noteTtl(epoch, limits.ttl);
      const key = logKey(epoch, place);
      // An id that is a position in this very log, but not this one, would lead a client astray.
      const given = event.id && event.id.indexOf(epoch + '-') !== 0 ? event.id : '';
      const id = given || key;
      // Before the event can be read: a client that has received it may ask for its id.
      const isFirst = given !== '' && noteId(epoch, id, place, limits.ttl);
      let isFilled = false;
      try {
        isFilled = fill(key, 'id: ' + id + '\n' + fields, limits.ttl);
      } finally {
        if (isFirst && !isFilled) {
          forgetId(epoch, id);
        }
      }
      // A publisher that was held up for hours may have filled a place in a life that is over.
      if (isFilled && epochNumber(channel) === number) {
        return { id, epoch, place, wakes: ringBell(number!) };
      }
    } else {
      openChannel(channel, limits.ttl);
    }
  }
}

/**
 * Refuses an event for which there is no room before it takes a place: readers would wait for it, and nginx would log each attempt
 * as critical. What stays free in any case is for the empty entries by which readers close places.
 * @throws for such an event.
 */
function makeRoom(epoch: string, fields: string, limits: Limits): void {
  if (hasRoom(fields)) {
    return;
  }
  // njs removes what has expired when something is added.
  log.delete(EXPIRE);
  log.add(EXPIRE, '', 1000);
  if (!hasRoom(fields)) {
    const last = lastPlace(epoch);
    if (last !== undefined && last >= 0) {
      trim(epoch, last + 1, limits);
    }
    if (!hasRoom(fields)) {
      throw zoneFullError();
    }
  }
}

function hasRoom(fields: string): boolean {
  const reserve = Math.min(RESERVE, log.capacity / 16);
  const free = log.freeSpace() - reserve;
  // A character has four bytes at the most; to count them takes longer.
  return free > fields.length * 4 + AROUND || free > Buffer.byteLength(fields) + AROUND;
}

function fill(key: string, text: string, ttl: number): boolean {
  try {
    return log.add(key, text, ttl);
  } catch (error) {
    // Spare the readers the wait: others have taken the room meanwhile, but what is reserved may be left.
    try {
      log.add(key, '', ttl);
    } catch {}
    throw error;
  }
}

/** Each event over the limit takes the oldest one's place away: `incr` gives every publisher another one. */
function trim(epoch: string, place: number, limits: Limits): void {
  const upTo = place - limits.history;
  if (upTo < 1) {
    return;
  }
  const key = epoch + '.first';
  const timeout = counterTimeout(limits.ttl);
  // A history that was made shorter is trimmed in portions.
  for (let i = 0; i < TRIM_AT_ONCE; i++) {
    const first = counts.incr(key, 1, 1, timeout);
    if (first - 1 > upTo) {
      counts.incr(key, -1, 1, timeout); // the limit was raised
      return;
    }
    log.delete(logKey(epoch, first - 1));
    if (first > upTo) {
      return;
    }
  }
}
