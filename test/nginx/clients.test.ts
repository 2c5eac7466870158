import { fetchEventSource } from '@microsoft/fetch-event-source';
import { EventSource as NpmEventSource } from 'eventsource';
import { EventSource as UndiciEventSource } from 'undici';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { eventually, open, publish, send, subscribers } from './client.ts';
import { allEngines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const clients = [
  ['npm eventsource', NpmEventSource],
  ["undici's EventSource", UndiciEventSource],
] as const;

describe.each(allEngines)('clients of others (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      http: 'js_var $sse_retry 100ms; js_var $sse_heartbeat 200ms;',
      server: PUBLISH_AND_SUBSCRIBE,
    });
  });
  afterAll(() => nginx.stop());

  test.each(clients)(
    '%s connects, receives, is cut off and resumes with nothing missing and nothing twice',
    async (name, Client) => {
      const channel = name.replace(/\W/g, '');
      const received: string[] = [];
      let opened = 0;
      const source = new Client(`${nginx.url}/events/${channel}`);
      source.onopen = () => {
        opened++;
      };
      source.onmessage = (event: MessageEvent) => received.push(event.data);
      source.addEventListener('named', (event) => {
        const { data, lastEventId } = event as MessageEvent;
        received.push(`named ${data} ${lastEventId}`);
      });
      await eventually(
        () => subscribers(nginx, channel),
        (count) => count === 1,
      );

      await publish(nginx, channel, 'one\ntwo ☃');
      await publish(nginx, channel, 'three', { 'X-EventSource-Event': 'named', 'X-EventSource-ID': 'my id' });
      await eventually(
        async () => received,
        () => received.length === 2,
      );
      expect(received).toEqual(['one\ntwo ☃', 'named three my id']);

      // Enough to use up the stream's budget more than once, so that nginx ends it.
      const numbers = Array.from({ length: 60 }, (_, i) => `${i} ${'x'.repeat(40000)}`);
      for (const number of numbers) {
        await publish(nginx, channel, number);
      }
      await publish(nginx, channel, 'end');
      await eventually(
        async () => received,
        () => received.at(-1) === 'end',
      );
      source.close();
      expect(opened).toBeGreaterThan(1);
      expect(received.slice(2, -1)).toEqual(numbers);
      await eventually(
        () => subscribers(nginx, channel),
        (count) => count === 0,
      );
    },
  );

  test.each(clients)('%s is told to go by an error', async (_, Client) => {
    const source = new Client(`${nginx.url}/events/`);
    await new Promise((resolve) => {
      source.onerror = resolve;
    });
    await eventually(
      async () => source.readyState,
      (state) => state === 2,
    );
    expect((await send(nginx, '/events/')).status).toBe(400);
  });

  test('fetch-event-source gets each event, and no empty message for a heartbeat', async () => {
    // What it looks for in a browser.
    vi.stubGlobal('document', { hidden: false, addEventListener() {}, removeEventListener() {} });
    vi.stubGlobal('window', globalThis);
    const messages: [type: string, data: string][] = [];
    const leaving = new AbortController();
    const done = fetchEventSource(`${nginx.url}/events/fetched`, {
      signal: leaving.signal,
      onmessage: ({ event, data }) => messages.push([event, data]),
    });
    await eventually(
      () => subscribers(nginx, 'fetched'),
      (count) => count === 1,
    );
    // Beside the stream, to see what this client does not show.
    const beside = await open(nginx, '/events/fetched');
    await beside.until(({ text }) => text.endsWith(':\n:\n'));
    beside.leave();
    await publish(nginx, 'fetched', '{"a": 1}');
    await eventually(
      async () => messages.length,
      (count) => count >= 2,
    );
    leaving.abort();
    await done;
    vi.unstubAllGlobals();
    expect(messages).toEqual([
      ['sse-start', '{}'],
      ['', '{"a": 1}'],
    ]);
  });
});
