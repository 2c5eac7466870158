/**
 * nginx repeats a question every 5 s until it is answered. A repetition that crosses the answer must not be answered again:
 * nginx would log an error. One that comes later than that means that the answer was lost.
 */
const KEEP = 500;

/** Remembers for half a second to one what was answered. */
export function createAnswered(): {
  add(name: string, id: number): void;
  has(name: string, id: number): boolean;
} {
  let newer = new Set<string>();
  let older = new Set<string>();
  let since = Date.now();

  return {
    add(name, id) {
      turn();
      newer.add(keyOf(name, id));
    },
    has(name, id) {
      turn();
      if (newer.size + older.size === 0) {
        return false;
      }
      const key = keyOf(name, id);
      return newer.has(key) || older.has(key);
    },
  };

  function turn(): void {
    const age = Date.now() - since;
    if (age >= KEEP) {
      older = age < 2 * KEEP ? newer : new Set();
      newer = new Set();
      since = Date.now();
    }
  }
}

/** A repetition has the same id. */
function keyOf(name: string, id: number): string {
  return `${id} ${name}`;
}
