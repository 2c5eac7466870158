import { settingError } from './settings.ts';

/**
 * nginx's requests to itself, to the servers that include sse/inner.conf. What they share is in the zone
 * `sse_upstream`.
 */

/** @throws SettingError where the zone is not configured. */
export function innerZone(): NgxSharedDict<string> {
  const zone = ngx.shared?.sse_upstream as NgxSharedDict<string> | undefined;
  if (!zone) {
    throw settingError(
      'sse/zones.conf has to declare the zone sse_upstream: js_shared_dict_zone zone=sse_upstream:64k;',
    );
  }
  return zone;
}

/** The secret by which our own requests are known. */
export function innerKey(): string {
  const zone = innerZone();
  const known = zone.get('key');
  if (known) {
    return known;
  }
  zone.add('key', randomKey());
  return zone.get('key') as string;
}

/** 128 random bits. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('');
}
