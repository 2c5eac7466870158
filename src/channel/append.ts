import { type ServerEvent, serializeFields } from '../event-stream/serialize.ts';
import { counterTimeout, epochNumber, keepChannel, logKey, openChannel, takePlace } from './channel.ts';
import type { Position } from './position.ts';
import { ringBell } from './ring.ts';
import { counts, log } from './zones.ts';

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
    const place = epoch === '' ? 0 : takePlace(epoch, limits.ttl);
    if (place > 0) {
      trim(epoch, place, limits);
      const key = logKey(epoch, place);
      const id = event.id || key;
      if (fill(key, 'id: ' + id + '\n' + fields, limits.ttl)) {
        const wakes = ringBell(number!);
        keepChannel(channel, number!, limits.ttl);
        return { id, epoch, place, wakes };
      }
    } else {
      openChannel(channel, limits.ttl);
    }
  }
}

function fill(key: string, text: string, ttl: number): boolean {
  try {
    return log.add(key, text, ttl);
  } catch (error) {
    // Spare the readers the wait, if there is room for that.
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
  for (;;) {
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
