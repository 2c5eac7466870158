/**
 * nginx repeats a question every 5 s until it is answered. A repetition that crosses the answer must not be answered again:
 * nginx would log an error. One that comes later than that means that the answer was lost.
 */
const KEEP = 500;

/** Remembers for half a second to one what was answered. */
export function createAnswered(): { add(question: string): void; has(question: string): boolean } {
  let newer = new Set<string>();
  let older = new Set<string>();
  let since = Date.now();

  return {
    add(question) {
      turn();
      newer.add(question);
    },
    has(question) {
      turn();
      return newer.has(question) || older.has(question);
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
