/** Subscribers of a doorbell that rings when a test says so. To be imported before anything that it mocks. */
import { afterEach, beforeEach, vi } from 'vitest';
import { NOT_SET } from '../../src/channel/name.ts';
import { batches, counts, log } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });
vi.stubEnv('NJS_SSE_DOORBELL', '1');
vi.stubGlobal('njs', { engine: 'QuickJS', on() {} });
export const { default: subscriber } = await import('../../src/subscriber.ts');
const { append } = await import('../../src/channel/append.ts');

/** What ends the waits that stand. */
export const waits: (() => void)[] = [];
/** How many streams have ended. */
export let ended = 0;

beforeEach(() => {
  for (const zone of [counts, log, batches]) {
    zone.entries.clear();
  }
  waits.length = 0;
  ended = 0;
  Object.assign(ngx, {
    fetch: () => new Promise((_, reject) => waits.push(() => reject(new Error('no such name')))),
  });
});
afterEach(() => {
  vi.clearAllTimers();
});

/** Tells what the subscriber has received since the last call. */
export function subscribe(
  channels: string,
  variables: Record<string, string> = {},
  send = (_: string) => {},
) {
  const received: string[] = [];
  const r = {
    method: 'GET',
    uri: `/events/${channels}`,
    args: {},
    headersIn: {},
    headersOut: {},
    variables: { sse_channel: NOT_SET, ...variables },
    sendHeader() {},
    send(text: string) {
      send(text);
      received.push(text);
    },
    finish() {
      ended++;
    },
    error(message: string) {
      throw new Error(message);
    },
  };
  subscriber.subscribe(r as unknown as NginxHTTPRequest);
  received.length = 0;
  return () => received.splice(0).flatMap((text) => text.match(/data: .*/g) ?? []);
}

export const publish = (channel: string, data: string) =>
  append(channel, { data }, { history: 100, ttl: 60000 });

export async function wake(): Promise<void> {
  for (const end of waits.splice(0)) {
    end();
  }
  await vi.advanceTimersByTimeAsync(0);
}
