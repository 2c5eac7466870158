/** The first wait after a failure, in milliseconds. */
const BASE = 1000;
const LONGEST = 60000;

/**
 * How long to wait before connecting again, in milliseconds.
 *
 * Exponential backoff with full jitter: a random time up to 1 s, 2 s, 4 s, ... 60 s. An upstream's own reconnection
 * time (`retry:`) takes the place of the first second and is waited for at least.
 *
 * @param failures connections in a row that brought nothing; 0 after one that did.
 * @param retry the upstream's reconnection time in milliseconds, if it sent one.
 * @param random from 0 to 1.
 */
export function backoff(failures: number, retry: number | undefined, random: number): number {
  if (retry !== undefined) {
    return Math.max(retry, failures === 0 ? 0 : random * ceiling(retry, failures));
  }
  return random * ceiling(BASE, failures);
}

function ceiling(first: number, failures: number): number {
  return Math.min(Math.max(LONGEST, first), first * 2 ** Math.min(failures, 16));
}
