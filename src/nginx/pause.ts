import { isShuttingDown } from './title.ts';

/**
 * A timer keeps a worker that shuts down; and each takes 170 bytes for as long as the request or
 * js_periodic runs.
 */
const LOOK = 5000;

/**
 * Waits, in milliseconds. Resolves with false within five seconds if the worker shuts down, or
 * `isOver`.
 */
export async function pause(ms: number, isOver = () => false): Promise<boolean> {
  for (let left = ms; ; left -= LOOK) {
    if (isOver() || isShuttingDown('self')) {
      return false;
    }
    if (left <= 0) {
      return true;
    }
    await new Promise((resolve) => {
      setTimeout(resolve as () => void, Math.min(left, LOOK));
    });
  }
}
