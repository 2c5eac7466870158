import { expect, test } from 'vitest';
import { eventually, open, publish } from './client.ts';
import { changed, startNginx } from './nginx.ts';

const CHANNELS = 120;
/** In place of the hundred thousand datagrams after which nginx ends a session. */
const LAST = 100;

test('a session of the doorbell ends after many datagrams, and the next one wakes whom it would have', {
  timeout: 60000,
}, async () => {
  const nginx = await startNginx({
    doorbell: true,
    server: `
      location /publish/ { allow all; include sse/publisher.conf; }
      location /events/ { set $sse_poll 10m; set $sse_heartbeat 10m; include sse/subscriber.conf; }`,
    files: {
      ...changed('doorbell-server.conf', 'proxy_requests 100000;', `proxy_requests ${LAST};`),
      ...changed('doorbell.js', 'LAST=1e5', `LAST=${LAST}`),
    },
  });
  const ended = async () =>
    (await nginx.log()).match(new RegExp(`udp done, packets from/to client:${LAST}/`, 'g'))?.length ?? 0;
  let rounds = 0;
  await eventually(
    async () => {
      // The first event of a channel: one that soon follows another would be polled for.
      const channels = Array.from({ length: CHANNELS }, (_, i) => `channel-${rounds}-${i}`);
      rounds++;
      const streams = await Promise.all(channels.map((channel) => open(nginx, `/events/${channel}`)));
      await Promise.all(channels.map((channel) => publish(nginx, channel, channel)));
      await Promise.all(streams.map((stream) => stream.untilEvents(1)));
      expect(streams.map(({ events }) => events.map(({ data }) => data))).toEqual(
        channels.map((channel) => [channel]),
      );
      for (const { leave } of streams) {
        leave();
      }
      return ended();
    },
    (count) => count >= 5,
  );
  await nginx.stop();
});
