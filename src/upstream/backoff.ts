/** The first wait after a failure, in milliseconds. */
const BASE = 1000;
const LONGEST = 15000;
/** An upstream may ask for no wait at all; a loop without any would be no service to it. */
const SHORTEST = 20;
/**
 * Any digits may stand behind `retry:`, but a timer has 32 bits: 2 ** 32 would be no wait at all.
 */
const LONGEST_RETRY = 86400000;

/**
 * How long to wait before connecting again, in milliseconds.
 *
 * Exponential backoff with full jitter: a random time up to 1 s, 2 s, 4 s, ... 15 s. An upstream's
 * own reconnection time (`retry:`, a day at the most) is waited for at least; if it is longer than
 * a second, it takes its place.
 *
 * @param failures connections in a row that brought nothing; 0 after one that did.
 * @param retry the upstream's reconnection time in milliseconds, if it sent one.
 * @param random from 0 to 1.
 */
export function backoff(failures: number, retry: number | undefined, random: number): number {
  if (retry !== undefined) {
    const asked = Math.min(retry, LONGEST_RETRY);
    return Math.max(SHORTEST, asked, failures === 0 ? 0 : random * ceiling(Math.max(BASE, asked), failures));
  }
  return random * ceiling(BASE, failures);
}

function ceiling(first: number, failures: number): number {
  return Math.min(Math.max(LONGEST, first), first * 2 ** Math.min(failures, 16));
}
