import { isZoneFull } from '../channel/zones.ts';
import { settingError } from '../nginx/settings.ts';

/**
 * What is known of an upstream, in shared memory, so that any worker can go on where another one
 * was killed.
 */

export interface UpstreamState {
  /** The standard's last event ID. */
  lastEventId: string;
  /** The upstream's own reconnection time in milliseconds. */
  retry?: number | undefined;
  /** The channel's epoch and its newest place when this was saved. */
  epoch: string;
  place: number;
  /** True if an event was about to be appended after that place: it may be there, or not. */
  pending?: boolean | undefined;
  /** True once the current connection has brought something. */
  healthy: boolean;
}

/** @throws SettingError where the zone is not configured. */
export function stateZone(): NgxSharedDict<string> {
  const zone = ngx.shared?.sse_upstream as NgxSharedDict<string> | undefined;
  if (!zone) {
    throw settingError(
      'sse/zones.conf has to declare the zone sse_upstream: js_shared_dict_zone zone=sse_upstream:1m;',
    );
  }
  return zone;
}

export function loadState(name: string): UpstreamState {
  const text = stateZone().get(`state/${name}`);
  return text ? JSON.parse(text) : { lastEventId: '', epoch: '', place: 0, healthy: false };
}

/** @throws SettingError where the zone is full; what was saved before is still there. */
export function saveState(name: string, state: UpstreamState): void {
  try {
    stateZone().set(`state/${name}`, JSON.stringify(state));
  } catch (error) {
    throw isZoneFull(error)
      ? settingError('the zone sse_upstream is full: enlarge it in sse/zones.conf, and restart nginx')
      : error;
  }
}
