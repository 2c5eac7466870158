import { counts } from './zones.ts';

/**
 * How those who wait for events hear of them, if the doorbell is configured (docs/ARCHITECTURE.md, "Waiting").
 *
 * Channels share 1024 bells. Who is about to wait leaves a mark at the bell, and takes its number; who appends an
 * event then takes the mark away, raises the number and rings. Without a mark nothing is to do.
 */

const BELLS = 1024;
/** The last rings, for the workers that pass them on to their waiting requests. */
const NOTES = 4096;
const KEEP_MARK = 600000;
const KEEP_NUMBER = 30 * 86400000;
const ZERO = 48;
const LETTERS = 97;
const RINGS = 'rings';
const NOTING = 'noting';
const KEEP_NOTING = 150000;

/** Of the epoch that was marked last: nearly all subscribers mark one again and again, and under the njs engine each text takes memory. */
let marked = '';
let markKey = '';
let bellKey = '';
let start = '';

/** Leaves a mark at the bell of a channel's epoch: as consecutive numbers they share the bells evenly. */
export function markBell(epoch: string): string {
  if (epoch !== marked) {
    const bell = bellOf(epoch);
    marked = epoch;
    markKey = 'mark.' + bell;
    bellKey = 'bell.' + bell;
    start = bell + '-';
  }
  counts.set(markKey, 1, KEEP_MARK);
  return bellName(start, counts.get(bellKey));
}

/** The epoch's number modulo the bells; without `parseInt`, which costs each subscriber some 600 bytes under the njs engine. */
function bellOf(epoch: string): number {
  let bell = 0;
  for (let i = 0; i < epoch.length; i++) {
    const code = epoch.charCodeAt(i);
    bell = (bell * 36 + code - (code < LETTERS ? ZERO : LETTERS - 10)) % BELLS;
  }
  return bell;
}

/** A bell, `<bell>-`, with its number, which is 0 before it rings for the first time. */
function bellName(start: string, number: number | undefined): string {
  return start + (number || 0).toString(36);
}

/**
 * To be called when something has happened in the channel of this epoch. Throws nothing: should a zone be full, those who
 * wait look by themselves at their next heartbeat.
 * @returns whether somebody may have waited for that.
 */
export function ringBell(epoch: number): boolean {
  const bell = epoch % BELLS;
  try {
    // Not `pop`, which tells nothing in a zone with a timeout before njs 1.0.1.
    if (counts.delete('mark.' + bell)) {
      passOn(bell, counts.incr('bell.' + bell, 1, 0, KEEP_NUMBER));
      return true;
    }
  } catch {}
  return false;
}

let passOn: (bell: number, number: number) => void = noteRing;

/**
 * From now on this script passes its rings on by itself, to all workers: its location has the resolver for that. One that is not
 * answered within the resolver's timeout is noted instead.
 * @param whenRung is called after each ring, when those who waited have been woken.
 */
export function passRingsOn(whenRung: () => void): void {
  passOn = (bell, number) =>
    resolve(bellName(bell + '-', number) + '.ring', (answer) => {
      if (String(answer).indexOf('timed out') >= 0) {
        try {
          noteRing(bell);
        } catch {
          // The zone is full.
        }
      }
      whenRung();
    });
}

/** @param name without `.sse`: no such name has an address, so all that happens is that the doorbell hears of it. */
export function resolve(name: string, whenHeard: (answer: unknown) => void): void {
  ngx.fetch('http://' + name + '.sse/').then(whenHeard, whenHeard);
}

/** For the workers to find. */
function noteRing(bell: number): void {
  const ring = counts.incr(RINGS, 1, 0, KEEP_NUMBER);
  counts.set('ring.' + (ring % NOTES), Date.now() * BELLS + bell, KEEP_MARK);
}

/** To be called at least once a minute where scripts run that append events but cannot pass rings on. */
export function announceNotes(): void {
  counts.set(NOTING, 1, KEEP_NOTING);
}

export interface Notes {
  /** Whether rings may be noted at any moment. */
  areExpected(): boolean;
  /** The number of the last ring that was noted, or is about to be. */
  last(): number;
  /** Which bell rang at that, and when; undefined before it is noted. */
  at(ring: number): { bell: number; time: number } | undefined;
  /** A bell with the number that it has now. */
  nameOf(bell: number): string;
}

/** One function for what only a js_periodic needs: each costs every subscriber under the njs engine (docs/ARCHITECTURE.md, "Memory"). */
export function openNotes(): Notes {
  return {
    areExpected: () => counts.get(NOTING) !== undefined,
    last: () => counts.get(RINGS) || 0,
    at(ring) {
      const note = counts.get('ring.' + (ring % NOTES));
      return note === undefined ? undefined : { bell: note % BELLS, time: Math.floor(note / BELLS) };
    },
    nameOf: (bell) => bellName(bell + '-', counts.get('bell.' + bell)),
  };
}

/** There while the doorbell's servers are missing, although the environment says that they are there (pass.ts). */
export const MISSING = 'doorbell.missing';
