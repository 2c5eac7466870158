import { clock } from './zones.ts';

/** In place of `Date.now`. */
export function now(): number {
  return clock.now;
}
