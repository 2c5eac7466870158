import { bellName, lastRing, noteOf } from './ring.ts';
import { isLeaving, lastServed } from './worker.ts';

/** How often to look whether a bell rang, in milliseconds: one look for all who wait in a worker. */
const POLL = 1;
/** The same after a long silence. Each look wakes the processor. */
const IDLE_POLL = 25;
/** Of the time since a bell rang, the part that may pass before the next look. */
const PART = 100;
/** A run starts with what rang while none ran. */
const OVERLAP = 1000;
/** How long a ring may go without its note, which is written after it; and how far notes may be out of order. */
const PATIENCE = 100;
/** A ring that is not answered after this time in milliseconds was lost. nginx itself would repeat it after five seconds. */
const ANSWERED_WITHIN = 1000;
const ATTEMPTS = 3;
/** Of so many looks, one looks whether the worker is about to leave. */
const LOOKS = 50;
/** A worker that has not said for so long that it serves may be leaving, which this run is the last one to find out. */
const OVERDUE = 1200;

interface Ring {
  name: string;
  attempt: number;
  time: number;
}

/**
 * Passes rings on to those who wait in this worker: resolves `<bell>-<number>.ring.sse` by the same socket as they
 * do, whereupon the doorbell answers them. When the worker is about to leave, all are answered.
 *
 * @param duration in milliseconds.
 */
export function passBells(duration: number): void {
  const end = Date.now() + duration;
  let passed = lastRing();
  let latest = Date.now() - OVERLAP;
  let missingSince = 0;
  let looks = 0;
  const unanswered: Ring[] = [];
  while (passed > 0 && timeOf(passed) > latest) {
    passed--;
  }
  look();

  function look(): void {
    const last = lastRing();
    if (passed < last) {
      pass(last);
    }
    repeat();
    if (++looks % LOOKS === 0 && isLeaving(Date.now())) {
      resolve('all', 0);
    } else if (Date.now() < end || isOverdue()) {
      setTimeout(look, Math.min(IDLE_POLL, Math.max(POLL, (Date.now() - latest) / PART)));
    }
  }

  function isOverdue(): boolean {
    const served = lastServed();
    return served > 0 && Date.now() - served > OVERDUE;
  }

  function pass(last: number): void {
    const bells: number[] = [];
    while (passed < last) {
      const note = noteOf(passed + 1);
      const isMissing = !note || note.time < latest - PATIENCE;
      if (isMissing) {
        missingSince = missingSince || Date.now();
        if (Date.now() - missingSince < PATIENCE) {
          break;
        }
      }
      missingSince = 0;
      passed++;
      if (note) {
        latest = note.time;
        if (bells.indexOf(note.bell) < 0) {
          bells.push(note.bell);
        }
      }
    }
    for (let i = 0; i < bells.length; i++) {
      resolve(bellName(bells[i]!), 0);
    }
  }

  function timeOf(ring: number): number {
    const note = noteOf(ring);
    return note ? note.time : 0;
  }

  function resolve(name: string, attempt: number): void {
    const ring = { name, attempt, time: Date.now() };
    const answered = () => {
      const i = unanswered.indexOf(ring);
      if (i >= 0) {
        unanswered.splice(i, 1);
      }
    };
    unanswered.push(ring);
    ngx.fetch(`http://${name}.ring${attempt || ''}.sse/`).then(answered, answered);
  }

  function repeat(): void {
    while (unanswered.length > 0 && Date.now() - unanswered[0]!.time > ANSWERED_WITHIN) {
      const ring = unanswered.shift()!;
      if (ring.attempt < ATTEMPTS) {
        resolve(ring.name, ring.attempt + 1);
      }
    }
  }
}
