import type { Reader } from './cursor.ts';
import { markBell } from './ring.ts';
import { countLeases } from './subscribers.ts';

/** An idle subscriber looks this many times less often than a busy one. */
const IDLE_FACTOR = 10;
/** Of the time since the last event, the part that may pass before the next look. */
const PATIENCE = 32;
/** What fits into a name of the DNS: at most eleven characters a bell. */
const MAX_BELLS = 20;
/** nginx walks through all who wait for one name whenever one of them is added or gives up. */
const CROWD = 32;
/** But all that an event wakes wait anew at once, and nginx reads one question for the doorbell in each turn of its event loop. */
const BUSY_CROWD = 300;
const MAX_CROWDS = 100;
/** About what it takes to wake one request and send it an event, in milliseconds. */
const SEND = 0.04;
/** Less than what makes events follow each other (`BUSY` in subscriber.ts). */
const LONGEST_SEND = 200;

/**
 * How long to wait before the next look, in milliseconds: `poll` while events flow, up to ten times that after a
 * long silence.
 */
export function pollDelay(poll: number, idle: number): number {
  const delay = idle / PATIENCE;
  return delay < poll ? poll : delay > poll * IDLE_FACTOR ? poll * IDLE_FACTOR : delay;
}

/** Whether a request can wait for its channels without looking: where sse/doorbell.conf is included. */
export function canWait(reader: Reader): boolean {
  return !!process.env.NJS_SSE_DOORBELL && reader.cursors.length <= MAX_BELLS;
}

/**
 * Marks the bells of all channels. Read after that; if there is nothing, wait with `waitForBells`.
 * @param isQuiet whether nothing came since the last wait.
 * @returns the name to wait for.
 */
export function markBells(reader: Reader, isQuiet: boolean): string {
  const bells: string[] = [];
  for (let i = 0; i < reader.cursors.length; i++) {
    bells.push(markBell(Number.parseInt(reader.cursors[i]!.epoch, 36)));
  }
  const crowds = countLeases(reader.cursors[0]!) / (isQuiet ? CROWD : BUSY_CROWD);
  const crowd = crowds > 1 ? Math.floor(Math.random() * Math.min(crowds, MAX_CROWDS)) : 0;
  return (bells.length > 1 ? bells.join('.') : bells[0]!) + '.wait' + (crowd || '') + '.sse';
}

/** About as long as it takes until all who wait for the same have got it, in milliseconds; less if they are many, or in several workers. */
export function sendTime(reader: Reader): number {
  return Math.min(1 + countLeases(reader.cursors[0]!) * SEND, LONGEST_SEND);
}

/**
 * Calls back when one of the bells has rung since it was marked, or by and by without reason: all requests of a
 * worker that resolve one name wait for one answer, which comes when the bell rings (doorbell.ts).
 */
export function waitForBells(name: string, wake: () => void): void {
  ngx.fetch('http://' + name + '/').then(wake, wake);
}
