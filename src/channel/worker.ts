import { isShuttingDown } from '../nginx/title.ts';
import { counts } from './zones.ts';

/**
 * Nothing tells a request that its worker is shutting down, but a js_periodic runs only before that. So one says every
 * second that its worker serves, and a worker that has not said so for longer is about to leave.
 */
export const LATE = 2500;
const KEEP = 600000;
/** Of all turns that are taken already, in milliseconds. */
const MOST_TURNS = 60000;

const key = 'worker.' + process.pid;
/** When any worker last said that it serves, in milliseconds since 1970. */
export const SERVING = 'serving';

/** To be called once a second by a js_periodic. */
export function renewWorker(): void {
  const now = Date.now();
  try {
    counts.set(key, now, KEEP);
    counts.set(SERVING, now, KEEP);
  } catch {
    // The zone is full. Streams of a worker of which nothing is known end when it is told to leave by force.
  }
}

/** How long a worker takes for one turn, at the most, and has time for others, in milliseconds. */
const TURN = 2;
const turns = 'turn.' + process.pid;

/**
 * How long to wait for a turn, in milliseconds: those who read much at once, as hundreds of clients that come back with an old id,
 * do so one after the other. nginx would run all whose timers have ended before anything else.
 */
export function takeTurn(now: number): number {
  const next = counts.get(turns) || 0;
  // A clock that was set back makes nobody wait for long.
  const turn = next > now && next < now + MOST_TURNS ? next : now + 1;
  try {
    counts.set(turns, turn + TURN, KEEP);
  } catch {
    // The zone is full.
  }
  return turn - now;
}

/** When this worker last said that it serves, in milliseconds since 1970; 0 if it never did. Negative: it leaves. */
export function lastServed(): number {
  return counts.get(key) || 0;
}

/**
 * False for a worker that has never said so, too.
 * @param fresh in milliseconds: if the worker has not said for so long that it serves, look at the title of the process, and say
 * for all others in this worker what it tells. At most `LATE`: a clock may jump.
 */
export function isLeaving(now: number, fresh: number): boolean {
  let last = lastServed();
  if (last > 0 && now - last > fresh) {
    const shutsDown = isShuttingDown('self');
    if (shutsDown !== undefined) {
      last = shutsDown ? -last : now;
      counts.set(key, last, KEEP);
    }
  }
  return last < 0 || (last > 0 && now - last > LATE);
}
