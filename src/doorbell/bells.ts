/**
 * The bells of one worker's location: who waits for them, and what rang. A name is
 *
 * - `<bell>-<number>[.<bell>-<number>...].wait<crowd>.sse`: answered when one of the bells has a higher number;
 * - `<bell>-<number>.ring<attempt>.sse`: the bell has this number now; answered at once;
 * - `all.ring.sse`: from now on all who wait are answered, because their worker is about to leave.
 */
export interface Bells<Asked> {
  ask(name: string, asked: Asked): void;
}

/** nginx repeats a question every 5 s for as long as somebody waits, and logs an answer that nobody waits for as an error. */
const FORGET_AFTER = 12000;
/** How many questions are held before those to forget are looked for. */
const SWEEP = 1000;

interface Waiting<Asked> {
  name: string;
  /** When it was asked, in milliseconds. */
  time: number;
  bells: [bell: string, number: number][];
  asked: Asked;
}

const NAME = /^((?:[0-9]+-[0-9a-z]+\.)+|all\.)(wait|ring)[0-9]*\.sse$/;

/** @param answer is called once for each question, at the latest when it is asked again. */
export function createBells<Asked>(answer: (asked: Asked) => void): Bells<Asked> {
  const numbers = new Map<string, number>();
  /** By name. A question that is held is asked again and again, and only the latest is to be answered. */
  const waiting = new Map<string, Waiting<Asked>>();
  /** The names that wait for each bell. */
  const namesOf = new Map<string, Set<string>>();
  let nobodyWaits = false;
  let sweepAt = SWEEP;

  return { ask };

  function ask(name: string, asked: Asked): void {
    const match = NAME.exec(name);
    if (!match) {
      return;
    }
    const bells = parseBells(match[1]!);
    if (match[2] === 'ring') {
      answer(asked);
      if (match[1] === 'all.') {
        nobodyWaits = true;
        for (const held of [...waiting.values()]) {
          release(held);
        }
      } else {
        for (const [bell, number] of bells) {
          ring(bell, number);
        }
      }
    } else if (nobodyWaits || bells.some(([bell, number]) => (numbers.get(bell) ?? 0) > number)) {
      answer(asked);
    } else {
      hold({ name, time: Date.now(), bells, asked });
    }
  }

  function ring(bell: string, number: number): void {
    numbers.set(bell, number);
    for (const name of [...(namesOf.get(bell) ?? [])]) {
      const held = waiting.get(name)!;
      if (held.bells.some(([other, low]) => other === bell && low < number)) {
        release(held);
      }
    }
  }

  function hold(held: Waiting<Asked>): void {
    if (waiting.size >= sweepAt) {
      [...waiting.values()].filter(isForgotten).forEach(release);
      sweepAt = Math.max(SWEEP, 2 * waiting.size);
    }
    waiting.set(held.name, held);
    for (const [bell] of held.bells) {
      if (!namesOf.has(bell)) {
        namesOf.set(bell, new Set());
      }
      namesOf.get(bell)!.add(held.name);
    }
  }

  function release(held: Waiting<Asked>): void {
    waiting.delete(held.name);
    for (const [bell] of held.bells) {
      namesOf.get(bell)?.delete(held.name);
    }
    if (!isForgotten(held)) {
      answer(held.asked);
    }
  }
}

function isForgotten({ time }: Waiting<unknown>): boolean {
  return Date.now() - time > FORGET_AFTER;
}

function parseBells(text: string): [string, number][] {
  return text
    .split('.')
    .filter((part) => part.includes('-'))
    .map((part) => {
      const [bell, number] = part.split('-') as [string, string];
      return [bell, Number.parseInt(number, 36)];
    });
}
