import { counts } from './zones.ts';

/**
 * How many subscribers a channel has. Each holds a lease in the current window of time and moves it to the
 * next window when that begins; a count is the sum over the current window and the one before. The leases of
 * a worker that was killed are never returned, but nobody moves them, so they count for two windows at the most.
 */
const WINDOW = 90000;
const KEEP = 3 * WINDOW;

export interface Lease {
  epoch: string;
  /** 0 for none. */
  window: number;
  /** How many there were in the window when it was taken, beside this one: those who come one after the other are neighbors. */
  rank: number;
}

/**
 * Takes a lease, or keeps it: to be called more often than once in a window, at the time `now`. Where the zone is full there is
 * none: a count is not worth a stream.
 */
export function renewLease(lease: Lease, now: number): void {
  const window = (now - (now % WINDOW)) / WINDOW;
  if (window !== lease.window) {
    returnLease(lease);
    try {
      const rank = counts.incr(key(lease.epoch, window), 1, 0, KEEP);
      // Negative where more were forgotten than are there.
      lease.rank = rank > 0 ? rank - 1 : 0;
      lease.window = window;
    } catch {}
  }
}

export function returnLease(lease: Lease): void {
  if (lease.window > 0) {
    try {
      counts.incr(key(lease.epoch, lease.window), -1, 0, KEEP);
    } catch {}
    lease.window = 0;
  }
}

export function countSubscribers(epoch: string): number {
  const time = Date.now();
  const window = (time - (time % WINDOW)) / WINDOW;
  return countLeases(epoch, window) + countLeases(epoch, window - 1);
}

/** How many leases are in a window: towards its end those of all subscribers. None if more were forgotten than are there. */
export function countLeases(epoch: string, window: number): number {
  const count = counts.get(key(epoch, window)) || 0;
  return count > 0 ? count : 0;
}

/** The last one is kept: most subscribers ask for it again and again, and under the njs engine each text takes memory. */
let lastKey = '';
let lastEpoch = '';
let lastWindow = 0;

function key(epoch: string, window: number): string {
  if (window !== lastWindow || epoch !== lastEpoch) {
    lastEpoch = epoch;
    lastWindow = window;
    lastKey = epoch + '.subscribers.' + window;
  }
  return lastKey;
}
