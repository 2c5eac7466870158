/**
 * Settings are nginx variables (`set $sse_heartbeat 15s;`), with nginx's own units
 * (https://nginx.org/en/docs/syntax.html). An unset variable means the default; a wrong value throws a
 * SettingError, so that a typing mistake is never a silent default.
 */

const MAX_TIME = 30 * 86400000;
const ZERO = 48;
const NINE = 57;
const MEGABYTE = 1048576;

/** A time in milliseconds, from `min` to 30 days; a number without a unit is in seconds, as everywhere in nginx. */
export function timeSetting(r: NginxHTTPRequest, name: string, fallback: number, min: number): number {
  const text = r.variables[name];
  if (!text) {
    return fallback;
  }
  const units = { '': 1000, ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 };
  return inRange(name, text, units, min, MAX_TIME, `a time from ${min}ms to 30d, like 15s`);
}

/** A size in bytes from 1 to `max`, with nginx's `k` and `m`. */
export function sizeSetting(r: NginxHTTPRequest, name: string, fallback: number, max: number): number {
  const text = r.variables[name];
  if (!text) {
    return fallback;
  }
  const units = { '': 1, k: 1024, m: MEGABYTE, K: 1024, M: MEGABYTE };
  return inRange(name, text, units, 1, max, `a size up to ${max / MEGABYTE}m, like 64k`);
}

/** A whole number from 1 to `max`. */
export function countSetting(r: NginxHTTPRequest, name: string, fallback: number, max: number): number {
  const text = r.variables[name];
  if (!text) {
    return fallback;
  }
  return inRange(name, text, { '': 1 }, 1, max, `a whole number from 1 to ${max}`);
}

/** Without a pattern: to match the first one costs a request of the njs engine 20 KB for a moment. */
function inRange(
  name: string,
  text: string,
  units: Record<string, number>,
  min: number,
  max: number,
  wanted: string,
): number {
  let digits = 0;
  while (text.charCodeAt(digits) >= ZERO && text.charCodeAt(digits) <= NINE) {
    digits++;
  }
  const value = Number(text.slice(0, digits)) * units[text.slice(digits)]!;
  if (value >= min && value <= max) {
    return value;
  }
  throw settingError(`$${name} is "${text}", but has to be ${wanted}`);
}

export function settingError(message: string): Error {
  const error = new Error(message);
  error.name = 'SettingError';
  return error;
}
