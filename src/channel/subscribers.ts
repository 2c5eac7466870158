import { counts } from './zones.ts';

/**
 * How many subscribers a channel has. Each holds a lease in the current window of time and moves it to the
 * next window when that begins; a count is the sum over the current window and the one before. The leases of
 * a worker that was killed are never returned, but nobody moves them, so they count for two windows at the most.
 */
const WINDOW = 60000;

export interface Lease {
  epoch: string;
  /** 0 for none. */
  window: number;
}

/** Takes a lease, or keeps it: to be called more often than once in a window. */
export function renewLease(lease: Lease): void {
  const window = currentWindow();
  if (window !== lease.window) {
    returnLease(lease);
    change(lease.epoch, window, 1);
    lease.window = window;
  }
}

export function returnLease(lease: Lease): void {
  if (lease.window > 0) {
    change(lease.epoch, lease.window, -1);
    lease.window = 0;
  }
}

export function countSubscribers(epoch: string): number {
  const window = currentWindow();
  return leases(epoch, window) + leases(epoch, window - 1);
}

function leases(epoch: string, window: number): number {
  return Math.max(0, counts.get(key(epoch, window)) || 0);
}

function change(epoch: string, window: number, by: number): void {
  counts.incr(key(epoch, window), by, 0, 3 * WINDOW);
}

function key(epoch: string, window: number): string {
  return `${epoch}.subscribers.${window}`;
}

function currentWindow(): number {
  return Math.floor(Date.now() / WINDOW);
}
