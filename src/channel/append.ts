import { type ServerEvent, serialize } from '../event-stream/serialize.ts';
import { counterTimeout, keepChannel, logKey, takePlace } from './channel.ts';
import type { Position } from './position.ts';
import { bellOf, ringBell } from './ring.ts';
import { counts, log } from './zones.ts';

/** Bounds of a channel's log. */
export interface Limits {
  /** How many events it holds at the most. */
  history: number;
  /** How long an event lives, in milliseconds. */
  ttl: number;
}

/**
 * Appends an event to a channel, which is created if need be.
 *
 * `incr` takes the next place, then `add` fills it. Both are atomic, so any number of workers may append at once.
 * A reader that has waited in vain for a place to be filled closes it with an empty entry (see read.ts): `add`
 * then fails, and the event gets another place.
 *
 * @returns the event's id: its own, or `<epoch>-<place>`.
 * @throws where a zone is full; the event is then not in the log.
 */
export function append(channel: string, event: ServerEvent, limits: Limits): string {
  const fields = serialize({ type: event.type, data: event.data, retry: event.retry });
  for (;;) {
    const position = takePlace(channel, limits.ttl);
    trim(position, limits);
    const key = logKey(position, 0);
    const id = event.id || key;
    if (fill(key, `id: ${id}\n${fields}`, limits.ttl)) {
      keepChannel(channel, position.epoch, limits.ttl);
      ringBell(bellOf(channel));
      return id;
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
function trim(position: Position, limits: Limits): void {
  const upTo = position.place - limits.history;
  if (upTo < 1) {
    return;
  }
  const key = `${position.epoch}.first`;
  const timeout = counterTimeout(limits.ttl);
  for (;;) {
    const first = counts.incr(key, 1, 1, timeout);
    if (first - 1 > upTo) {
      counts.incr(key, -1, 1, timeout); // the limit was raised
      return;
    }
    log.delete(logKey({ epoch: position.epoch, place: first - 1 }, 0));
    if (first > upTo) {
      return;
    }
  }
}
