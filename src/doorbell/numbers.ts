/** The numbers of the bells that rang in the last fifteen seconds: for as long as who has not heard of it may ask. */
export const numbers = ngx.shared.sse_bells as NgxSharedDict<number>;

export interface Ring {
  bell: string;
  number: number;
}

const RING = /^([0-9]+-[0-9a-z]+)\.ring\.sse$/;

/** Returns undefined for a name that is no ring's. */
export function parseRing(name: string): Ring | undefined {
  const match = RING.exec(name);
  return match ? parseBell(match[1]!) : undefined;
}

/** `<bell>-<number>` */
export function parseBell(text: string): Ring {
  const dash = text.indexOf('-');
  return { bell: text.slice(0, dash), number: Number.parseInt(text.slice(dash + 1), 36) };
}

/** Rings may come out of order. */
export function setNumber(ring: Ring): void {
  if ((numbers.get(ring.bell) || 0) < ring.number) {
    numbers.set(ring.bell, ring.number);
  }
}
