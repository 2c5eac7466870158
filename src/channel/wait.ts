import type { Reader } from './cursor.ts';
import { markBell, resolve } from './ring.ts';
import { countLeases } from './subscribers.ts';
import { counts } from './zones.ts';

/** An idle subscriber looks this many times less often than a busy one. */
const IDLE_FACTOR = 10;
/** Of the time since the last event, the part that may pass before the next look. */
const PATIENCE = 32;
/** Who follows more channels has to poll: so many fit into a name of the DNS, at most eleven characters each. */
export const MAX_BELLS = 20;
/** nginx walks through all who wait for one name whenever one of them is added or gives up. */
const CROWD = 64;
/** But all that an event wakes wait anew at once, and nginx reads one question for the doorbell in each turn of its event loop, without `multi_accept`. */
const MAX_CROWDS = 100;

/**
 * How long to wait before the next look, in milliseconds: `poll` while events flow, up to ten times that after a
 * long silence.
 */
export function pollDelay(poll: number, idle: number): number {
  const delay = idle / PATIENCE;
  return delay < poll ? poll : delay > poll * IDLE_FACTOR ? poll * IDLE_FACTOR : delay;
}

/** How often those who wait under one name in a worker are released, in milliseconds: the others among them wait anew. */
export const RELEASE_EVERY = 5000;

/** The end of what was waited for last, which is the same as long as the crowds are. */
let crowd = 0;
let end = '.wait0.sse/';

/**
 * Marks the bells of all channels. Read after that; if there is nothing, wait with `waitForBells`.
 * @returns the URL to wait for.
 */
export function markBells(reader: Reader): string {
  const first = reader.cursors[0]!;
  const bells =
    reader.cursors.length > 1
      ? reader.cursors.map((cursor) => markBell(cursor.epoch)).join('.')
      : markBell(first.epoch);
  reader.peers = countLeases(first.epoch, first.window);
  // Neighbors in the order of their coming are neighbors in memory: to wake them one after the other is faster.
  const mine = ((first.rank - (first.rank % CROWD)) / CROWD) % MAX_CROWDS;
  if (mine !== crowd) {
    crowd = mine;
    end = '.wait' + crowd + '.sse/';
  }
  return 'http://' + bells + end;
}

/**
 * Calls back when one of the bells has rung since it was marked, or by and by without reason: all requests of a
 * worker that resolve one name wait for one answer, which comes when the bell rings (doorbell.ts).
 */
export function waitForBells(url: string, wake: (signal: unknown) => void): void {
  ngx.fetch(url).then(wake, wake);
}

/**
 * Ends a wait whose client has left: it keeps the request, and the connection, until it is answered. So are the waits of all others
 * under this name, in this worker.
 * @returns false if that was done a moment ago: to be tried again after `RELEASE_EVERY`.
 */
export function releaseWait(url: string): boolean {
  try {
    if (!counts.add(process.pid + url, 1, RELEASE_EVERY)) {
      return false;
    }
    resolve(url.slice(7, -5) + '.free', () => {});
  } catch {
    // The zone is full. The wait ends by itself.
  }
  return true;
}
