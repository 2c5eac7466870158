/**
 * Settings are nginx variables (`set $sse_heartbeat 15s;`), with nginx's own units
 * (https://nginx.org/en/docs/syntax.html). An unset variable means the default; a wrong value throws a
 * SettingError, so that a typing mistake is never a silent default.
 */

const TIMES: Record<string, number> = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 };
const MAX_TIME = 30 * 86400000;
const SIZES: Record<string, number> = { k: 1024, m: 1048576 };

/** A time in milliseconds, from `min` to 30 days; a number without a unit is in seconds, as everywhere in nginx. */
export function timeSetting(r: NginxHTTPRequest, name: string, fallback: number, min: number): number {
  const text = r.variables[name];
  if (!text) {
    return fallback;
  }
  const match = /^([0-9]+)(ms|s|m|h|d)?$/.exec(text);
  const value = match ? Number(match[1]) * TIMES[match[2] || 's']! : -1;
  return inRange(name, text, value, min, MAX_TIME, `a time from ${min}ms to 30d, like 15s`);
}

/** A size in bytes from 1 to `max`, with nginx's `k` and `m`. */
export function sizeSetting(r: NginxHTTPRequest, name: string, fallback: number, max: number): number {
  const text = r.variables[name];
  if (!text) {
    return fallback;
  }
  const match = /^([0-9]+)([km]?)$/.exec(text.toLowerCase());
  const value = match ? Number(match[1]) * (SIZES[match[2]!] || 1) : -1;
  return inRange(name, text, value, 1, max, `a size up to ${max / SIZES.m!}m, like 64k`);
}

/** A whole number from 1 to `max`. */
export function countSetting(r: NginxHTTPRequest, name: string, fallback: number, max: number): number {
  const text = r.variables[name];
  if (!text) {
    return fallback;
  }
  const value = /^[0-9]+$/.test(text) ? Number(text) : -1;
  return inRange(name, text, value, 1, max, `a whole number from 1 to ${max}`);
}

function inRange(
  name: string,
  text: string,
  value: number,
  min: number,
  max: number,
  wanted: string,
): number {
  if (value < min || value > max) {
    throw settingError(`$${name} is "${text}", but has to be ${wanted}`);
  }
  return value;
}

export function settingError(message: string): Error {
  const error = new Error(message);
  error.name = 'SettingError';
  return error;
}
