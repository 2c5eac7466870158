import { numbers, parseBell, parseRing, type Ring, setNumber } from './numbers.ts';

/**
 * The bells of one worker's location: who waits for them, and what rang. A name is
 *
 * - `<bell>-<number>[.<bell>-<number>...].wait<crowd>.sse`: answered when one of the bells has a higher number;
 * - `<bell>-<number>.ring.sse`: the bell has this number now; answered at once;
 * - `all.ring.sse`: for a while all who wait are answered, because their worker is about to leave.
 */
export interface Bells<Asked> {
  ask(name: string, asked: Asked): void;
  ring(bell: string, number: number): void;
}

/** nginx repeats a question after 5 to 6 s for as long as somebody waits, and logs an answer that nobody waits for as an error. */
const FORGET_AFTER = 7000;
/** So all who wait when their worker is about to leave have repeated their questions. */
const LEAVE_FOR = 8000;
/** How many questions are held before those to forget are looked for. */
const SWEEP = 1000;

interface Waiting<Asked> {
  name: string;
  /** When it was asked, in milliseconds. */
  time: number;
  bells: Ring[];
  asked: Asked;
}

const WAIT = /^((?:[0-9]+-[0-9a-z]+\.)+)wait[0-9]*\.sse$/;
const ALL = 'all.ring.sse';

/** @param answer is called once for each question, at the latest when it is asked again. */
export function createBells<Asked>(answer: (asked: Asked) => void): Bells<Asked> {
  /** By name. A question that is held is asked again and again, and only the latest is to be answered. */
  const waiting = new Map<string, Waiting<Asked>>();
  /** Those who wait for each bell. */
  const waitingFor = new Map<string, Set<Waiting<Asked>>>();
  let leavesUntil = 0;
  let sweepAt = SWEEP;

  return { ask, ring };

  function ask(name: string, asked: Asked): void {
    const held = waiting.get(name);
    const asks = held ?? parseWait(name, asked);
    if (asks) {
      asks.asked = asked;
      asks.time = Date.now();
      if (asks.time < leavesUntil || asks.bells.some(isOver)) {
        release(asks);
      } else if (!held) {
        hold(asks);
      }
      return;
    }
    const rung = parseRing(name);
    if (rung) {
      answer(asked);
      setNumber(rung);
      ring(rung.bell, rung.number);
    } else if (name === ALL) {
      answer(asked);
      leavesUntil = Date.now() + LEAVE_FOR;
      [...waiting.values()].forEach(release);
    }
  }

  function isOver({ bell, number }: Ring): boolean {
    return (numbers.get(bell) ?? 0) > number;
  }

  function ring(bell: string, number: number): void {
    for (const held of waitingFor.get(bell) ?? []) {
      for (const low of held.bells) {
        if (low.number < number && low.bell === bell) {
          release(held);
          break;
        }
      }
    }
  }

  function hold(held: Waiting<Asked>): void {
    if (waiting.size >= sweepAt) {
      [...waiting.values()].filter(isForgotten).forEach(release);
      sweepAt = Math.max(SWEEP, 2 * waiting.size);
    }
    waiting.set(held.name, held);
    for (const { bell } of held.bells) {
      if (!waitingFor.has(bell)) {
        waitingFor.set(bell, new Set());
      }
      waitingFor.get(bell)!.add(held);
    }
  }

  function release(held: Waiting<Asked>): void {
    waiting.delete(held.name);
    for (const { bell } of held.bells) {
      waitingFor.get(bell)?.delete(held);
    }
    if (!isForgotten(held)) {
      answer(held.asked);
    }
  }
}

function isForgotten({ time }: Waiting<unknown>): boolean {
  return Date.now() - time > FORGET_AFTER;
}

function parseWait<Asked>(name: string, asked: Asked): Waiting<Asked> | undefined {
  const bells = WAIT.exec(name)?.[1]?.split('.').slice(0, -1).map(parseBell);
  return bells?.every((bell) => bell !== undefined) ? { name, time: 0, bells, asked } : undefined;
}
