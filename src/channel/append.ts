import { type ServerEvent, serialize } from '../event-stream/serialize.ts';
import { counterTimeout, firstPlace, keepChannel, logKey, openChannel } from './channel.ts';
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
    const epoch = openChannel(channel, limits.ttl);
    const place = counts.incr(`${epoch}.last`, 1, 0, counterTimeout(limits.ttl));
    if (place < 1) {
      continue; // deleted since we opened it
    }
    trim(epoch, place - limits.history, limits);
    const key = logKey({ epoch, place }, 0);
    const id = event.id || key;
    if (fill(key, `id: ${id}\n${fields}`, limits.ttl)) {
      keepChannel(channel, epoch, limits.ttl);
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

function trim(epoch: string, upTo: number, limits: Limits): void {
  const first = firstPlace(epoch);
  if (first > upTo) {
    return;
  }
  for (let place = first; place <= upTo; place++) {
    log.delete(logKey({ epoch, place }, 0));
  }
  counts.set(`${epoch}.first`, upTo + 1, counterTimeout(limits.ttl));
}
