import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, publish, send, subscribers } from '../nginx/client.ts';
import { type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from '../nginx/nginx.ts';

/** What the page keeps of its EventSource. */
interface Received {
  opened: number;
  errors: number;
  events: { type: string; data: string; lastEventId: string }[];
}

let nginx: Nginx;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  nginx = await startNginx({
    http: 'js_var $sse_heartbeat 200ms;',
    server: `${PUBLISH_AND_SUBSCRIBE}
      location = / { default_type text/html; return 200 "<!doctype html><link rel=icon href=data:,><title>test</title>"; }`,
  });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM!,
    args: [
      '--no-sandbox', // we may be root
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  page = await browser.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(nginx.url);
});
afterAll(async () => {
  await browser?.close();
  await nginx.stop(/exited on signal 9/);
});

test('a browser connects, receives, loses the connection and resumes with nothing missing and nothing twice', async () => {
  await page.evaluate(() => {
    const received: Received = { opened: 0, errors: 0, events: [] };
    const source = new EventSource('/events/page,other');
    source.onopen = () => {
      received.opened++;
    };
    source.onerror = () => {
      received.errors++;
    };
    for (const type of ['message', 'named', 'sse-gap']) {
      source.addEventListener(type, (event) =>
        received.events.push({ type, data: event.data.slice(0, 40), lastEventId: event.lastEventId }),
      );
    }
    Object.assign(window, { received, source });
  });
  await eventually(received, ({ opened }) => opened === 1);

  await publish(nginx, 'page', 'Grüße\r\n☃ 🎉');
  await publish(nginx, 'other', '{"n":1}', { 'X-EventSource-Event': 'named' });
  const first = await eventually(received, ({ events }) => events.length === 2);
  expect(first.events).toMatchObject([
    { type: 'message', data: 'Grüße\n☃ 🎉' },
    { type: 'named', data: '{"n":1}' },
  ]);
  expect(first.errors).toBe(0);

  // Uses up the stream's budget, so that nginx ends it, again and again; the browser comes back by itself.
  for (let i = 0; i < 80; i++) {
    await publish(nginx, i % 2 ? 'page' : 'other', `${i} ${'x'.repeat(40000)}`);
  }
  const all = await eventually(received, ({ events }) => events.length >= 82);
  expect(all.opened).toBeGreaterThan(1);
  // One more where it is just about to reconnect.
  expect([all.opened - 1, all.opened]).toContain(all.errors);
  const numbers = all.events.slice(2).map(({ data }) => Number(data.split(' ')[0]));
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => i));
  expect(all.events.every(({ lastEventId }) => /^[0-9a-z]+-\d+,[0-9a-z]+-\d+$/.test(lastEventId))).toBe(true);
});

test('a browser that has received nothing yet resumes where it began', async () => {
  await page.evaluate(() => {
    (window as unknown as { source: EventSource }).source.close();
    const received: Received = { opened: 0, errors: 0, events: [] };
    const source = new EventSource('/events/silent');
    source.onopen = () => {
      received.opened++;
    };
    source.onmessage = ({ data, lastEventId }) =>
      received.events.push({ type: 'message', data, lastEventId });
    source.addEventListener('sse-gap', ({ data, lastEventId }) =>
      received.events.push({ type: 'sse-gap', data, lastEventId }),
    );
    Object.assign(window, { received, source });
  });
  await eventually(
    () => subscribers(nginx, 'silent'),
    (count) => count === 1,
  );

  // A killed worker cuts its connections; what is published until the browser is back must reach it.
  const workers = (await nginx.sh('pgrep -P 1 || cat /proc/1/task/1/children')).trim().split(/\s+/);
  await nginx.sh(`kill -9 ${workers.join(' ')}`);
  await eventually(
    () => send(nginx, '/health').catch(() => ({ status: 0 })),
    ({ status }) => status === 204,
  );
  await publish(nginx, 'silent', 'while you were away');
  const { events } = await eventually(received, ({ events }) => events.length > 0);
  expect(events).toMatchObject([{ type: 'message', data: 'while you were away' }]);
  expect(complaints).toEqual([]);
});

function received(): Promise<Received> {
  return page.evaluate(() => (window as unknown as { received: Received }).received);
}
