import { isOver, parseBell, parseRing, type Ring, setNumber } from './numbers.ts';

/**
 * The bells of one worker's location: who waits for them, and what rang. A name is
 *
 * - `<bell>-<number>[.<bell>-<number>...].wait<crowd>.sse`: answered when one of the bells has a higher number;
 * - `<bell>-<number>.ring.sse`: the bell has this number now; answered at once.
 * - `....wait<crowd>.free.sse`: who waited so has left, and `....wait<crowd>.sse` is to be answered; answered at once, too.
 */
export interface Bells<Asked> {
  /** Returns whether it is held. */
  ask(name: string, asked: Asked): boolean;
  /** As if it had been asked before. */
  hold(name: string, asked: Asked): void;
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

const FREE = '.free.sse';
const WAIT = /^((?:[0-9]+-[0-9a-z]+\.)+)wait[0-9]*\.sse$/;

/** @param answers gets each question once to release, at the latest when it is asked again. */
export function createBells<Asked>(answers: Answers<Asked>): Bells<Asked> {
  /** By name. A question that is held is asked again and again, and only the latest is to be answered. */
  const waiting = new Map<string, Waiting<Asked>>();
  /** Those who wait for each bell. */
  const waitingFor = new Map<string, Set<Waiting<Asked>>>();
  let sweepAt = SWEEP;

  return { ask, hold, ring };

  function ask(name: string, asked: Asked): boolean {
    const asks = waiting.get(name) ?? parseWait(name, asked);
    if (asks) {
      asks.asked = asked;
      answers.keep(asked);
      return keepOrRelease(asks);
    }
    if (name.endsWith(FREE)) {
      answers.keep(asked);
      answers.release(asked);
      const left = waiting.get(name.slice(0, -FREE.length) + '.sse');
      if (left) {
        release(left);
      }
      return false;
    }
    const rung = parseRing(name);
    if (rung) {
      answers.keep(asked);
      answers.release(asked);
      setNumber(rung);
      ring(rung.bell, rung.number);
    }
    return false;
  }

  function hold(name: string, asked: Asked): void {
    const asks = waiting.has(name) ? undefined : parseWait(name, asked);
    if (asks) {
      keepOrRelease(asks);
    }
  }

  /** Returns whether it is kept. */
  function keepOrRelease(asks: Waiting<Asked>): boolean {
    const keeps = !asks.bells.some(isOver);
    if (!keeps) {
      release(asks);
    } else if (!waiting.has(asks.name)) {
      add(asks);
    }
    return keeps;
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

  function add(held: Waiting<Asked>): void {
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
  const bells = parseBells(name);
  return bells && { name, bells, asked };
}

/** The bells of a name that waits; undefined for any other. */
export function parseBells(name: string): Ring[] | undefined {
  const bells = WAIT.exec(name)?.[1]?.split('.').slice(0, -1).map(parseBell);
  return bells?.every((bell) => bell !== undefined) ? bells : undefined;
}
