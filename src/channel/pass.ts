import { openNotes, resolveRing } from './ring.ts';
import { isLeaving, lastServed } from './worker.ts';

/** How often to look whether a bell rang, in milliseconds: one look for all who wait in a worker. */
const POLL = 1;
/** The same after a long silence. Each look wakes the processor. */
const IDLE_POLL = 25;
/** The same where hardly anybody notes a ring: publishers pass their own on. */
const RARE_POLL = 1000;
/** Of the time since a bell rang, the part that may pass before the next look. */
const PART = 100;
/** A run starts with what rang while none ran. */
const OVERLAP = 1000;
/** How long a ring may go without its note, which is written after it; and how far notes may be out of order. */
const PATIENCE = 100;
/** How often to look whether the worker is about to leave, in milliseconds. */
const LOOK_FOR_LEAVING = 1000;
/** If it seems so, the next look is this soon: a worker that has stood still says within that time that it serves. */
const DOUBT = 200;
/** A worker that has not said for so long that it serves may be leaving, which this run is the last one to find out. */
const OVERDUE = 1200;

/**
 * Passes rings on to those who wait in this worker: resolves `<bell>-<number>.ring.sse` by the same socket as they
 * do, whereupon the doorbell answers them. When the worker is about to leave, all are answered.
 *
 * @param duration in milliseconds.
 */
export function passBells(duration: number): void {
  const end = Date.now() + duration;
  const notes = openNotes();
  let passed = notes.last();
  let latest = Date.now() - OVERLAP;
  let missingSince = 0;
  let lookForLeaving = 0;
  let seemsToLeave = false;
  while (passed > 0 && timeOf(passed) > latest) {
    passed--;
  }
  look();

  function look(): void {
    const last = notes.last();
    if (passed < last) {
      pass(last);
    }
    const now = Date.now();
    if (now >= lookForLeaving) {
      const seemedToLeave = seemsToLeave;
      seemsToLeave = isLeaving(now);
      if (seemedToLeave && seemsToLeave) {
        resolveRing('all', ignore);
        return;
      }
      lookForLeaving = now + (seemsToLeave ? DOUBT : LOOK_FOR_LEAVING);
    }
    if (now < end || isOverdue()) {
      const delay = notes.areExpected() ? Math.min(IDLE_POLL, (now - latest) / PART) : RARE_POLL;
      const atMost = Math.min(lookForLeaving, now < end ? end : Infinity) - now;
      setTimeout(look, Math.max(POLL, Math.min(delay, atMost)));
    }
  }

  function ignore(): void {}

  function isOverdue(): boolean {
    const served = lastServed();
    return served > 0 && Date.now() - served > OVERDUE;
  }

  function pass(last: number): void {
    const bells: number[] = [];
    while (passed < last) {
      const note = notes.at(passed + 1);
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
      resolveRing(notes.nameOf(bells[i]!), ignore);
    }
  }

  function timeOf(ring: number): number {
    const note = notes.at(ring);
    return note ? note.time : 0;
  }
}
