/**
 * The bells of one worker's location: who waits for them, and what rang. A name is
 *
 * - `<bell>-<number>[.<bell>-<number>...].wait<crowd>.sse`: answered when one of the bells has a higher number;
 * - `<bell>-<number>.ring.sse`: the bell has this number now; answered at once;
 * - `all.ring.sse`: from now on all who wait are answered, because their worker is about to leave.
 */
export interface Bells<Asked> {
  ask(name: string, asked: Asked): void;
}

interface Waiting<Asked> {
  name: string;
  bells: [bell: string, number: number][];
  asked: Asked;
}

const NAME = /^((?:[0-9]+-[0-9a-z]+\.)+|all\.)(wait[0-9]*|ring)\.sse$/;

/** @param answer is called once for each question, at the latest when it is asked again. */
export function createBells<Asked>(answer: (asked: Asked) => void): Bells<Asked> {
  const numbers = new Map<string, number>();
  /** By name. A question that is held is asked again and again, and only the latest is to be answered. */
  const waiting = new Map<string, Waiting<Asked>>();
  /** The names that wait for each bell. */
  const namesOf = new Map<string, Set<string>>();
  let nobodyWaits = false;

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
      release({ name, bells, asked });
    } else {
      hold({ name, bells, asked });
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
    waiting.set(held.name, held);
    for (const [bell] of held.bells) {
      if (!namesOf.has(bell)) {
        namesOf.set(bell, new Set());
      }
      namesOf.get(bell)!.add(held.name);
    }
  }

  function release({ name, bells, asked }: Waiting<Asked>): void {
    waiting.delete(name);
    for (const [bell] of bells) {
      namesOf.get(bell)?.delete(name);
    }
    answer(asked);
  }
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
