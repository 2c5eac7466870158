import { counts } from './zones.ts';

/**
 * Nothing tells a request that its worker is shutting down, but a js_periodic runs only before that. So one says every
 * second that its worker serves, and a worker that has not said so for longer is about to leave.
 */
export const LATE = 2500;
const KEEP = 600000;

const key = 'worker.' + process.pid;

/** To be called once a second by a js_periodic. @param time when this worker served, in milliseconds since 1970. */
export function renewWorker(time: number): void {
  counts.set(key, time, KEEP);
}

/** When this worker last said that it serves, in milliseconds since 1970; 0 if it never did. */
export function lastServed(): number {
  return counts.get(key) || 0;
}

/** False for a worker that has never said so, too. */
export function isLeaving(now: number): boolean {
  const last = lastServed();
  return last > 0 && now - last > LATE;
}
