import { ringBell } from './ring.ts';
import { counts, ids, log } from './zones.ts';

/**
 * A channel is a pointer, `/<name>` in the number zone, to an epoch: one life of its log. The epoch's counters
 * stand beside it, `<epoch>.last` and `<epoch>.first`: the places of the newest event and of the oldest that
 * was not trimmed; and, once it is over, `<epoch>.next`. Names and epochs cannot collide: no epoch begins with a slash.
 */

/** A channel nobody uses is forgotten after this time, or after its events' time to live if that is longer. */
export const FORGET_AFTER = 3600000;
/** For how long a channel's pointer outlives its counters, so that there is one successor, and those who wait hear of it. */
const OUTLIVE = 120000;
/** What follows the epoch in the key of the shortest time to live of its events. */
export const TTL = '.ttl';
/** An njs before this version logs it as critical when a zone with `evict` makes room: there the index of ids is emptied in time. */
const EVICTS_QUIETLY = 0x000906;
/** How many places that follow each other may be empty although events before them are there. */
const NEAR = 16;
/** How many events are removed in one go: about a millisecond. */
const REMOVE_AT_ONCE = 1000;
/** A value of `<epoch>.last` that no number of events makes positive: the channel was deleted. */
const DELETED = -(2 ** 52);

export interface ChannelState {
  channel: string;
  /** Of the newest event; null if there is none. */
  id: string | null;
  subscribers: number;
  /** How many events the log holds. */
  events: number;
}

/** Where the log holds an event. */
export function logKey(epoch: string, place: number): string {
  return epoch + '-' + place;
}

/**
 * How long the counters of a channel are kept whose events live for `ttl` milliseconds. The channel is forgotten with
 * them, for publishers and subscribers at the same moment.
 */
export function counterTimeout(ttl: number): number {
  return ttl > FORGET_AFTER ? ttl : FORGET_AFTER;
}

/** The channel's epoch, or undefined if the channel does not exist. */
export function findChannel(channel: string): string | undefined {
  return livingEpoch(epochNumber(channel));
}

function livingEpoch(number: number | undefined): string | undefined {
  const epoch = number === undefined ? '' : number.toString(36);
  return epoch && lastPlace(epoch)! >= 0 ? epoch : undefined;
}

/** The channel's epoch; a channel that does not exist is created. Throws where the zone is full. */
export function openChannel(channel: string, ttl: number): string {
  const number = epochNumber(channel);
  return livingEpoch(number) || createChannel(channel, number, ttl);
}

/** @param old what was found in its place: not looked up again, because somebody else may have created it meanwhile. */
function createChannel(channel: string, old: number | undefined, ttl: number): string {
  // Epochs are consecutive numbers from a random start, so that no two channels of one zone share one and no
  // earlier life of the zone, or other server, is likely to have used it.
  const start = Math.floor(Math.random() * 2 ** 26) * 2 ** 26 + Math.floor(Math.random() * 2 ** 26);
  const epoch = counts.incr('epoch', 1, start);
  const timeout = counterTimeout(ttl) + OUTLIVE;
  counts.set(lastKey(epoch.toString(36)), 0, counterTimeout(ttl));
  if (old === undefined) {
    counts.add('/' + channel, epoch, timeout);
  } else {
    // It was deleted or forgotten. All who find that out at the same time agree on one successor.
    const next = old.toString(36) + '.next';
    counts.add(next, epoch, timeout);
    counts.set('/' + channel, counts.get(next) || epoch, timeout);
    ringBell(old);
  }
  return openChannel(channel, ttl);
}

/** Keeps a channel for as long as an event that is appended to it now. `incr` does not touch a newer epoch. */
export function keepChannel(channel: string, number: number, ttl: number): void {
  counts.incr('/' + channel, 0, number, counterTimeout(ttl) + OUTLIVE);
}

export function lastKey(epoch: string): string {
  return epoch + '.last';
}

/** The newest place; undefined for an epoch that is forgotten, negative for one that was deleted. */
export function lastPlace(epoch: string): number | undefined {
  return counts.get(lastKey(epoch));
}

/** The number that is the channel's epoch in base 36; undefined if the channel does not exist. */
export function epochNumber(channel: string): number | undefined {
  return counts.get('/' + channel);
}

/**
 * Takes the next place in an epoch. Nothing is looked up that `incr` tells: the place is negative if the epoch is over,
 * be it deleted or forgotten.
 */
export function takePlace(epoch: string, ttl: number): number {
  return counts.incr(lastKey(epoch), 1, DELETED, counterTimeout(ttl));
}

/** The oldest place that was not trimmed; what is older than the time to live is gone all the same. */
export function firstPlace(epoch: string): number {
  return counts.get(epoch + '.first') || 1;
}

/**
 * Removes a channel. Its subscribers find out when they look for more.
 * @returns the places of its events, which are still to be removed with `removeEvents`.
 */
export function deleteChannel(epoch: string): { first: number; last: number } {
  const last = lastPlace(epoch) || 0;
  const first = firstPlace(epoch);
  counts.set(lastKey(epoch), DELETED, FORGET_AFTER);
  counts.delete(epoch + '.first');
  ringBell(Number.parseInt(epoch, 36));
  return { first, last };
}

/** Removes the events from one place to another from the log, at most `REMOVE_AT_ONCE`. Returns the first place that is left. */
export function removeEvents(epoch: string, first: number, last: number): number {
  const end = Math.min(last + 1, first + REMOVE_AT_ONCE);
  for (let place = first; place < end; place++) {
    log.delete(logKey(epoch, place));
  }
  return end;
}

/**
 * Notes the shortest time to live of the channel's events, in milliseconds, where it is shorter than `FORGET_AFTER`: readers
 * have to know how long an event cannot have expired (catch-up.ts).
 */
export function noteTtl(epoch: string, ttl: number): void {
  if (ttl < FORGET_AFTER && counts.incr(epoch + TTL, 0, ttl, FORGET_AFTER) > ttl) {
    counts.set(epoch + TTL, ttl, FORGET_AFTER);
  }
}

/**
 * Notes where the event with this id is, and that it is still used if there was one before: the earliest counts, because
 * a client that goes on there misses nothing.
 * @returns whether this is the earliest.
 */
export function noteId(epoch: string, id: string, place: number, ttl: number): boolean {
  // A client that comes back with an id that was not noted is told of a gap.
  if (ids === counts && counts.freeSpace() < counts.capacity / 2) {
    return false;
  }
  try {
    if (njs.version_number < EVICTS_QUIETLY && ids.freeSpace() < ids.capacity / 16) {
      (ids as NgxSharedDict).clear();
    }
    return ids.incr(epoch + '=' + id, 0, place, counterTimeout(ttl)) === place;
  } catch {
    return false;
  }
}

/** Takes back what `noteId` noted, because the event did not get this place. */
export function forgetId(epoch: string, id: string): void {
  ids.delete(epoch + '=' + id);
}

/** The place of the earliest event with this id; undefined if there is none, or it was forgotten. */
export function placeOfId(epoch: string, id: string): number | undefined {
  return ids.get(epoch + '=' + id);
}

/**
 * @param last the newest place; 0 if there is none.
 * @param known the id of the event there, if it is known.
 */
export function channelState(
  channel: string,
  epoch: string,
  subscribers: number,
  last: number,
  known?: string,
): ChannelState {
  const oldest = last > 0 ? oldestUnexpired(epoch, firstPlace(epoch), last) : 1;
  let newest = last;
  let id = known || idAt(epoch, newest);
  // The last places may have been taken for events that then found no room.
  while (id === null && newest > oldest) {
    newest--;
    id = idAt(epoch, newest);
  }
  // Meanwhile other publishers may have trimmed more than that.
  return { channel, id, subscribers, events: id === null || oldest > newest ? 0 : newest + 1 - oldest };
}

/** The id of the event at a place; null if it is gone. */
export function idAt(epoch: string, place: number): string | null {
  const event = log.get(logKey(epoch, place));
  return event ? idOf(event) : null;
}

/**
 * The first place from `from` that holds an event, or `last + 1`. Bisects, because events expire in order; but a place whose publisher
 * was killed is empty among others that are not, so those just before are looked at as well.
 */
export function oldestUnexpired(epoch: string, from: number, last: number): number {
  if (log.has(logKey(epoch, from))) {
    return from; // as most often, for what is over the bound of its number was trimmed
  }
  let found = bisect(last);
  for (;;) {
    const lowest = Math.max(from, found - NEAR);
    let before = found - 1;
    while (before >= lowest && !log.has(logKey(epoch, before))) {
      before--;
    }
    if (before < lowest) {
      return found;
    }
    found = bisect(before);
  }

  /** In here, because the njs engine makes what is outside for each subscriber. */
  function bisect(to: number): number {
    let low = from;
    let high = to + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (log.has(logKey(epoch, middle))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
}

/** The id of an event as the log holds it: its first line is always `id: ...`. */
export function idOf(text: string): string {
  return text.slice(4, text.indexOf('\n'));
}
