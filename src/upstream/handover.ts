import { counts } from '../channel/zones.ts';
import { isShuttingDown } from '../nginx/title.ts';

/**
 * How an upstream passes from one loop to the next, after a reload or when a worker was killed.
 *
 * Fencing: a loop that takes over takes the next number, and every connection with a lower one ends
 * at its next chunk.
 *
 * After a reload, the old workers accept connections for another 100 ms, so a new loop's request
 * might be served with the old configuration. The new loop therefore waits until its predecessor's
 * worker shuts down, and says so: the old connection goes on meanwhile, although its worker shuts
 * down. Without a successor, it ends.
 */

const KEEP = 30 * 86400000;
/**
 * A predecessor has finished by then the chunk at which it finds out that it is overdue, in
 * milliseconds.
 */
const FINISH = 100;
const LOOK = 50;
/**
 * The predecessor's worker shuts down 100 ms after the new workers were started, on a busy machine
 * later.
 */
const PATIENCE = 10000;
/**
 * The master tells all old workers at once, but each hears of it in its next turn of the event
 * loop.
 */
const OTHERS = 200;
/** Where the title of a process cannot be read. */
const BLIND = 1000;
/** An announcement outlives all of these waits, and not by much the worker that made it. */
const KEEP_ANNOUNCED = PATIENCE + 5000;

/** Resolves with the number of this loop, which is then the highest. */
export async function takeOver(name: string): Promise<number> {
  await letPredecessorLeave(name);
  // A counter that was forgotten goes on from the time, so that nobody has a higher number from
  // before.
  const number = counts.incr(`upstream/${name}`, 1, Date.now(), KEEP);
  counts.set(`upstream/${name}/pid`, process.pid, KEEP);
  counts.delete(`upstream/${name}/next`);
  await sleep(FINISH);
  return number;
}

async function letPredecessorLeave(name: string): Promise<void> {
  const pid = counts.get(`upstream/${name}/pid`);
  if (pid === undefined || pid === process.pid) {
    return;
  }
  const announced = `upstream/${name}/next`;
  if (isShuttingDown('self') === undefined) {
    counts.set(announced, process.pid, KEEP_ANNOUNCED);
    return sleep(BLIND);
  }
  if (isShuttingDown(String(pid)) === undefined) {
    return; // it was killed
  }
  counts.set(announced, process.pid, KEEP_ANNOUNCED);
  for (let waited = 0; waited < PATIENCE && isShuttingDown(String(pid)) === false; waited += LOOK) {
    await sleep(LOOK);
  }
  return sleep(OTHERS);
}

export function isOverdue(name: string, number: number): boolean {
  const newest = counts.get(`upstream/${name}`);
  return newest !== undefined && newest > number;
}

/** True if this worker shuts down, and nobody is about to take over. */
export function isLastOne(name: string): boolean {
  return isShuttingDown('self') === true && !counts.has(`upstream/${name}/next`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
