/**
 * Settings are nginx variables (`set $sse_heartbeat 15s;`), with nginx's own units
 * (https://nginx.org/en/docs/syntax.html). An unset variable means the default; a wrong value throws a
 * SettingError, so that a typing mistake is never a silent default.
 */

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 };
const MAX_TIME = 30 * 86400000;

/** A time in milliseconds, from `min` to 30 days; a number without a unit is in seconds, as everywhere in nginx. */
export function timeSetting(r: NginxHTTPRequest, name: string, fallback: number, min: number): number {
  const match = /^([0-9]+)(ms|s|m|h|d)?$/.exec(r.variables[name] || `${fallback}ms`);
  const value = match ? Number(match[1]) * UNITS[match[2] || 's']! : -1;
  return checkSetting(r, name, value, min, MAX_TIME, `a time from ${min}ms to 30d, like 15s`);
}

/** @param wanted what the value has to be, for the error message. */
export function checkSetting(
  r: NginxHTTPRequest,
  name: string,
  value: number,
  min: number,
  max: number,
  wanted: string,
): number {
  if (value < min || value > max) {
    throw settingError(`$${name} is "${r.variables[name]}", but has to be ${wanted}`);
  }
  return value;
}

export function settingError(message: string): Error {
  const error = new Error(message);
  error.name = 'SettingError';
  return error;
}
