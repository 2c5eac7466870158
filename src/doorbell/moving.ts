/**
 * Questions that are to be asked again over TCP, a few at a time: what is asked in one second is repeated in one second, and
 * who is woken then is late.
 */
export interface Moving<Question> {
  add(question: Question): void;
  delete(name: string): void;
  /** To be called whenever there is an opportunity. */
  move(): void;
  /** For many more than an event wakes, which need no opportunity then: the memory of a timer is kept for as long as the session lasts. */
  moveLater(): void;
  /** No timer is left. */
  end(): void;
}

export interface Moves<Question> {
  isPossible(): boolean;
  /** More than what is more urgent needs. */
  hasRoom(): boolean;
  /** Not if it was not repeated, or has been answered. */
  isKept(question: Question): boolean;
  move(question: Question): void;
  /** Whether time is left for what could be done later. */
  mayGoOn(): boolean;
}

/** So many within `PERIOD`: what subscribers of one channel each ask, 1024 bells at the most, at once, spreads over four of the five seconds until it is repeated. */
const MOVES = 25;
/** In milliseconds. */
const PERIOD = 100;
const MANY = 100;
/** How many are held before those to forget are looked for. */
const SWEEP = 1000;

export function createMoving<Question extends { name: string }>({
  isPossible,
  hasRoom,
  isKept,
  move: moveOne,
  mayGoOn,
}: Moves<Question>): Moving<Question> {
  const questions = new Map<string, Question>();
  let left = MOVES;
  let since = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sweepAt = SWEEP;

  return { add, delete: forget, move, moveLater, end };

  function add(question: Question): void {
    if (questions.size >= sweepAt) {
      for (const old of questions.values()) {
        if (!isKept(old)) {
          forget(old.name);
        }
      }
      sweepAt = Math.max(SWEEP, 2 * questions.size);
    }
    questions.set(question.name, question);
  }

  function forget(name: string): void {
    questions.delete(name);
  }

  function move(): void {
    if (questions.size === 0 || !isPossible()) {
      return;
    }
    const now = Date.now();
    if (now - since >= PERIOD) {
      since = now;
      left = MOVES;
    }
    for (const question of questions.values()) {
      if (left === 0 || !hasRoom()) {
        break;
      }
      forget(question.name);
      if (isKept(question)) {
        left--;
        moveOne(question);
      }
    }
    moveLater();
  }

  function moveLater(): void {
    if (questions.size > MANY) {
      timer ??= setTimeout(moveOn, PERIOD);
    }
  }

  function moveOn(): void {
    timer = undefined;
    if (mayGoOn()) {
      move();
    }
  }

  function end(): void {
    if (timer !== undefined) {
      clearTimeout(timer);
      timer = undefined;
    }
  }
}
