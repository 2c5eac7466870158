import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { counts, log } from './zones.ts';

vi.useFakeTimers({ now: 60000000 });
const { default: publisher } = await import('../../src/publisher.ts');
const { markBell } = await import('../../src/channel/ring.ts');

/** What answers the rings that stand. */
let rings: (() => void)[];

beforeEach(() => {
  counts.entries.clear();
  log.entries.clear();
  rings = [];
  Object.assign(ngx, {
    fetch: () => new Promise((_, reject) => rings.push(() => reject(new Error('no such name')))),
  });
});
afterEach(() => {
  vi.clearAllTimers();
});

/** Publishes to the channel "a", and gives the statuses that it was answered with. */
function publish(): number[] {
  const answers: number[] = [];
  const r = {
    method: 'POST',
    uri: '/publish/a',
    headersIn: {},
    headersOut: {},
    variables: { sse_channel: 'a' },
    requestText: 'x',
    return: (status: number) => answers.push(status),
    error(message: string) {
      throw new Error(message);
    },
  };
  publisher.publish(r as unknown as NginxHTTPRequest);
  return answers;
}

/** Somebody waits for the next event. */
function wait(): void {
  markBell(counts.get('/a')!.toString(36));
}

test('who wakes nobody is answered at once', () => {
  expect(publish()).toEqual([202]);
  expect(publish()).toEqual([202]);
  expect(rings).toEqual([]);
});

test('who wakes somebody is answered once the ring was, and only once', async () => {
  publish();
  wait();
  const answers = publish();
  await vi.advanceTimersByTimeAsync(90);
  expect(answers).toEqual([]);
  rings[0]!();
  await vi.advanceTimersByTimeAsync(0);
  expect(answers).toEqual([202]);
  await vi.advanceTimersByTimeAsync(10000);
  expect(answers).toEqual([202]);
});
