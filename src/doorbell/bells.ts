import { numbers, parseBell, parseRing, type Ring, setNumber } from './numbers.ts';

/**
 * The bells of one worker's location: who waits for them, and what rang. A name is
 *
 * - `<bell>-<number>[.<bell>-<number>...].wait<crowd>.sse`: answered when one of the bells has a higher number;
 * - `<bell>-<number>.ring.sse`: the bell has this number now; answered at once.
 */
export interface Bells<Asked> {
  ask(name: string, asked: Asked): void;
  ring(bell: string, number: number): void;
}

/** What is done with questions. */
export interface Answers<Asked> {
  /** It was asked, or repeated. */
  keep(asked: Asked): void;
  /** Not if it was not repeated, or has been answered otherwise. */
  isKept(asked: Asked): boolean;
  /** To be answered, if it is still kept. */
  release(asked: Asked): void;
}

/** How many questions are held before those to forget are looked for. */
const SWEEP = 1000;

interface Waiting<Asked> {
  name: string;
  bells: Ring[];
  asked: Asked;
}

const WAIT = /^((?:[0-9]+-[0-9a-z]+\.)+)wait[0-9]*\.sse$/;

/** @param answers gets each question once to release, at the latest when it is repeated. */
export function createBells<Asked>(answers: Answers<Asked>): Bells<Asked> {
  /** By name. A question that is held is asked again and again, and only the latest is to be answered. */
  const waiting = new Map<string, Waiting<Asked>>();
  /** Those who wait for each bell. */
  const waitingFor = new Map<string, Set<Waiting<Asked>>>();
  let sweepAt = SWEEP;

  return { ask, ring };

  function ask(name: string, asked: Asked): void {
    const held = waiting.get(name);
    const asks = held ?? parseWait(name, asked);
    if (asks) {
      asks.asked = asked;
      answers.keep(asked);
      if (asks.bells.some(isOver)) {
        release(asks);
      } else if (!held) {
        hold(asks);
      }
      return;
    }
    const rung = parseRing(name);
    if (rung) {
      answers.keep(asked);
      answers.release(asked);
      setNumber(rung);
      ring(rung.bell, rung.number);
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
      [...waiting.values()].filter(({ asked }) => !answers.isKept(asked)).forEach(forget);
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
    forget(held);
    answers.release(held.asked);
  }

  function forget(held: Waiting<Asked>): void {
    waiting.delete(held.name);
    for (const { bell } of held.bells) {
      waitingFor.get(bell)?.delete(held);
    }
  }
}

function parseWait<Asked>(name: string, asked: Asked): Waiting<Asked> | undefined {
  const bells = WAIT.exec(name)?.[1]?.split('.').slice(0, -1).map(parseBell);
  return bells?.every((bell) => bell !== undefined) ? { name, bells, asked } : undefined;
}
