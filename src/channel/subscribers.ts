import { counts } from './zones.ts';

/**
 * How many subscribers a channel has. Each holds a lease in the current window of time and moves it to the
 * next window when that begins; a count is the sum over the current window and the one before. The leases of
 * a worker that was killed are never returned, but nobody moves them, so they count for two windows at the most.
 */
const WINDOW = 60000;

export interface Lease {
  epoch: string;
  window: number;
}

export function takeLease(lease: Lease): void {
  lease.window = currentWindow();
  change(lease, 1);
}

/** To be called more often than once in a window. */
export function renewLease(lease: Lease): void {
  if (currentWindow() !== lease.window) {
    returnLease(lease);
    takeLease(lease);
  }
}

export function returnLease(lease: Lease): void {
  change(lease, -1);
}

export function countSubscribers(epoch: string): number {
  const window = currentWindow();
  return leases({ epoch, window }) + leases({ epoch, window: window - 1 });
}

function leases(lease: Lease): number {
  return Math.max(0, counts.get(key(lease)) || 0);
}

function change(lease: Lease, by: number): void {
  counts.incr(key(lease), by, 0, 3 * WINDOW);
}

function key(lease: Lease): string {
  return `${lease.epoch}.subscribers.${lease.window}`;
}

function currentWindow(): number {
  return Math.floor(Date.now() / WINDOW);
}
