import type { Reader } from './cursor.ts';
import { markBell } from './ring.ts';
import { countLeases } from './subscribers.ts';

/** An idle subscriber looks this many times less often than a busy one. */
const IDLE_FACTOR = 10;
/** Of the time since the last event, the part that may pass before the next look. */
const PATIENCE = 32;
/** Who follows more channels has to poll: so many fit into a name of the DNS, at most eleven characters each. */
export const MAX_BELLS = 20;
/** nginx walks through all who wait for one name whenever one of them is added or gives up. */
const CROWD = 32;
/** But all that an event wakes wait anew at once, and nginx reads one question for the doorbell in each turn of its event loop, without `multi_accept`. */
const BUSY_CROWD = 300;
const MAX_CROWDS = 100;

/**
 * How long to wait before the next look, in milliseconds: `poll` while events flow, up to ten times that after a
 * long silence.
 */
export function pollDelay(poll: number, idle: number): number {
  const delay = idle / PATIENCE;
  return delay < poll ? poll : delay > poll * IDLE_FACTOR ? poll * IDLE_FACTOR : delay;
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

/**
 * Calls back when one of the bells has rung since it was marked, or by and by without reason: all requests of a
 * worker that resolve one name wait for one answer, which comes when the bell rings (doorbell.ts).
 */
export function waitForBells(name: string, wake: () => void): void {
  ngx.fetch('http://' + name + '/').then(wake, wake);
}
