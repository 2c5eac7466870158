import { counts } from '../channel/zones.ts';
import { settingError } from '../nginx/settings.ts';

/** What is known of an upstream, in shared memory, so that any worker can go on where another one was killed. */

const KEEP = 30 * 86400000;

export interface UpstreamState {
  /** The standard's last event ID. */
  lastEventId: string;
  /** The upstream's own reconnection time in milliseconds. */
  retry?: number | undefined;
  /** Where in the channel's log the newest event from this upstream is that was saved. */
  epoch: string;
  place: number;
  /** True once the current connection has brought something. */
  healthy: boolean;
  /** What ended the last connection, if it was not the upstream. */
  problem: string;
}

/** @throws SettingError where the zone is not configured. */
export function stateZone(): NgxSharedDict<string> {
  const zone = ngx.shared?.sse_upstream as NgxSharedDict<string> | undefined;
  if (!zone) {
    throw settingError(
      'sse/zones.conf has to declare the zone sse_upstream: js_shared_dict_zone zone=sse_upstream:64k;',
    );
  }
  return zone;
}

export function loadState(name: string): UpstreamState {
  const text = stateZone().get(`state/${name}`);
  return text ? JSON.parse(text) : { lastEventId: '', epoch: '', place: 0, healthy: false, problem: '' };
}

export function saveState(name: string, state: UpstreamState): void {
  stateZone().set(`state/${name}`, JSON.stringify(state));
}

/**
 * Fencing: whoever takes over an upstream takes the next number. All who have a lower one stop. A counter that was
 * forgotten goes on from the time, so that nobody has a higher number from before.
 */
export function takeOver(name: string): number {
  return counts.incr(`upstream/${name}`, 1, Date.now(), KEEP);
}

export function isOverdue(name: string, number: number): boolean {
  const newest = counts.get(`upstream/${name}`);
  return newest !== undefined && newest > number;
}
