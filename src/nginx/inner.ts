import { settingError } from './settings.ts';

/** nginx's requests to itself, to the servers that include sse/inner.conf. */

/** Of its own, so that no file of a zone with `state=` holds the key. */
const secrets = ngx.shared?.sse_secret as NgxSharedDict<string> | undefined;

/**
 * The secret by which our own requests are known.
 * @throws SettingError where its zone is not configured.
 */
export function innerKey(): string {
  if (!secrets) {
    throw settingError('put "include sse/http.conf;" into http: it declares the zone sse_secret');
  }
  const known = secrets.get('key');
  if (known) {
    return known;
  }
  secrets.add('key', randomKey());
  return secrets.get('key') as string;
}

/** 128 random bits. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('');
}
