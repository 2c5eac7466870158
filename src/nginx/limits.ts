import { checkSetting } from './settings.ts';

const UNITS: Record<string, number> = { '': 1, k: 1024, m: 1048576 };

/** A size in bytes from 1 to `max`, with nginx's `k` and `m`. */
export function sizeSetting(r: NginxHTTPRequest, name: string, fallback: number, max: number): number {
  const match = /^([0-9]+)([km]?)$/.exec((r.variables[name] || String(fallback)).toLowerCase());
  const value = match ? Number(match[1]) * UNITS[match[2]!]! : -1;
  return checkSetting(r, name, value, 1, max, `a size up to ${max / UNITS.m!}m, like 64k`);
}

/** A whole number from 1 to `max`. */
export function countSetting(r: NginxHTTPRequest, name: string, fallback: number, max: number): number {
  const text = r.variables[name] || String(fallback);
  const value = /^[0-9]+$/.test(text) ? Number(text) : -1;
  return checkSetting(r, name, value, 1, max, `a whole number from 1 to ${max}`);
}
