import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { eventually, open, publish } from './client.ts';
import { startNginx } from './nginx.ts';

const CHANNELS = 120;
/** In place of the hundred thousand datagrams after which nginx ends a session. */
const LAST = 100;
/** Events that follow each other faster are polled for. */
const BUSY = 500;

/** A file of what is built, with another number. */
function withLast(file: string, before: string, after: string): Record<string, string> {
  const text = readFileSync(`dist/sse/${file}`, 'utf8');
  expect(text.split(before)).toHaveLength(2);
  return { [`/etc/nginx/sse/${file}`]: text.replace(before, after) };
}

test('a session of the doorbell ends after many datagrams, and the next one wakes whom it would have', {
  timeout: 60000,
}, async () => {
  const nginx = await startNginx({
    doorbell: true,
    server: `
      location /publish/ { allow all; include sse/publisher.conf; }
      location /events/ { set $sse_poll 10m; set $sse_heartbeat 10m; include sse/subscriber.conf; }`,
    files: {
      ...withLast('doorbell-server.conf', 'proxy_requests 100000;', `proxy_requests ${LAST};`),
      ...withLast('doorbell.js', 'LAST=1e5', `LAST=${LAST}`),
    },
  });
  const channels = Array.from({ length: CHANNELS }, (_, i) => `channel-${i}`);
  const streams = await Promise.all(channels.map((channel) => open(nginx, `/events/${channel}`)));
  const ended = async () =>
    (await nginx.log()).match(new RegExp(`udp done, packets from/to client:${LAST}/`, 'g'))?.length ?? 0;
  let events = 0;
  await eventually(
    async () => {
      events++;
      await Promise.all(channels.map((channel) => publish(nginx, channel, String(events))));
      await Promise.all(streams.map((stream) => stream.untilEvents(events)));
      await new Promise((resolve) => setTimeout(resolve, BUSY + 100));
      return ended();
    },
    (count) => count >= 5,
  );
  const expected = Array.from({ length: events }, (_, i) => String(i + 1));
  for (const stream of streams) {
    expect(stream.events.map(({ data }) => data)).toEqual(expected);
    stream.leave();
  }
  await nginx.stop();
});
