/** An idle subscriber looks this many times less often than a busy one. */
const IDLE_FACTOR = 10;
/** Of the time since the last event, the part that may pass before the next look. */
const PATIENCE = 32;

/**
 * Calls back when it is time to look for more: after `poll` milliseconds while events flow, up to ten times
 * that after a long silence.
 */
export function waitForMore(poll: number, idle: number, look: () => void): void {
  setTimeout(look, pollDelay(poll, idle));
}

export function pollDelay(poll: number, idle: number): number {
  return Math.min(poll * IDLE_FACTOR, Math.max(poll, idle / PATIENCE));
}
