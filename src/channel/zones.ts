import { settingError } from '../nginx/settings.ts';

/** Numbers: each channel's epoch, and the counters of each epoch. */
export const counts = ngx.shared.sse_count as NgxSharedDict<number>;
/** Events, serialized, each under `<epoch>-<place>`. */
export const log = ngx.shared.sse_log as NgxSharedDict<string>;
/** Many events in one text, under `<epoch>-<first place>-<last place>`. It may be missing, or forget what it has. */
export const batches = ngx.shared.sse_batch as NgxSharedDict<string> | undefined;

/**
 * Where the first event with an id of its publisher's own is, under `<epoch>=<id>`. It may forget the oldest. A configuration
 * without this zone keeps some among the counters.
 */
export const ids = (ngx.shared.sse_ids as NgxSharedDict<number> | undefined) || counts;

/** @throws SettingError where the zones are not configured. */
export function requireZones(): void {
  if (!counts || !log) {
    throw settingError('put "include sse/http.conf;" into http');
  }
}

/** The exception for an event that would not find room. */
export function zoneFullError(): Error {
  const error = new Error('no room in the shared dict');
  error.name = 'SharedMemoryError';
  return error;
}

/** True for the exception of a zone that has no room left. `incr` throws a plain Error under the njs engine. */
export function isZoneFull(thrown: unknown): boolean {
  const error = thrown as Error;
  return error.name === 'SharedMemoryError' || /shared dict/.test(error.message);
}
