/** The numbers of the bells that rang in the last fifteen seconds: for as long as who has not heard of it may ask. */
const numbers = ngx.shared.sse_bells as NgxSharedDict<number>;

export interface Ring {
  bell: string;
  number: number;
}

const SUFFIX = '.ring.sse';
/** All rings that go on are as long as the longest: two numbers of sixteen digits. */
const PASSED_LENGTH = 33;

/**
 * Returns undefined for a name that is no ring's. Without a pattern: it is slow where nothing has happened for a while, and on
 * the way of every ring.
 */
export function parseRing(name: string): Ring | undefined {
  return name.endsWith(SUFFIX) ? parseBell(name.slice(0, -SUFFIX.length)) : undefined;
}

/** `<bell>-<number>`, as bellName (channel/ring.ts) writes it; undefined for anything else. */
export function parseBell(text: string): Ring | undefined {
  const dash = text.indexOf('-');
  const bell = text.slice(0, dash);
  const count = Number(bell);
  const number = Number.parseInt(text.slice(dash + 1), 36);
  return isCount(count) && isCount(number) && count + '-' + number.toString(36) === text
    ? { bell, number }
    : undefined;
}

function isCount(number: number): boolean {
  return number >= 0 && number % 1 === 0 && number <= Number.MAX_SAFE_INTEGER;
}

/** Whether the bell has rung since it had that number. */
export function isOver(ring: Ring): boolean {
  return (numbers.get(ring.bell) || 0) > ring.number;
}

/** Rings may come out of order. */
export function setNumber(ring: Ring): void {
  if ((numbers.get(ring.bell) || 0) < ring.number) {
    numbers.set(ring.bell, ring.number);
  }
}

/** A ring as the sessions hear of it. */
export function passedRing(ring: Ring): string {
  return (ring.bell + '-' + ring.number).padEnd(PASSED_LENGTH);
}

/** Undefined for what no ring's server has sent. */
export function readPassedRing(message: Buffer): Ring | undefined {
  const text = message.toString();
  const dash = text.indexOf('-');
  const number = Number(text.slice(dash + 1));
  return dash > 0 && number > 0 ? { bell: text.slice(0, dash), number } : undefined;
}
