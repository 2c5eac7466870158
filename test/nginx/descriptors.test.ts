import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open } from './client.ts';
import { engines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

/** Each waits at the doorbell. */
const CHANNELS = Array.from({ length: 10 }, (_, i) => `channel-${i}`);

describe.each(engines)('a worker without descriptors (%s)', (engine) => {
  let nginx: Nginx;
  const connection = new Agent({ keepAlive: true, maxSockets: 1 });

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      doorbell: true,
      workers: 1,
      server: `set $sse_heartbeat 3s; ${PUBLISH_AND_SUBSCRIBE}`,
    });
  });
  afterAll(async () => {
    connection.destroy();
    await nginx.stop(
      /Too many open files/,
      /(send|recv)\(\) failed .* while resolving/,
      /unexpected DNS response/, // what was asked again, for want of a descriptor, may be answered twice
    );
  });

  /** On the one connection, which nginx reads again when it is through with a request. */
  function publishAgain(channel: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const outgoing = request(`${nginx.url}/publish/${channel}`, { method: 'POST', agent: connection });
      outgoing.once('error', reject);
      outgoing.once('response', (incoming) => {
        incoming
          .once('error', reject)
          .once('end', () => resolve(incoming.statusCode!))
          .resume();
      });
      outgoing.end('x');
    });
  }

  // Each of them once took nginx seven seconds.
  test('publishes all the same, and subscribers hear of it', { timeout: 30000 }, async () => {
    const streams = await Promise.all(CHANNELS.map((channel) => open(nginx, `/events/${channel}`)));
    await publishAgain('other');
    await eventually(
      () => nginx.sh("grep -c '0100007F:1FC2 0100007F:.* 01 ' /proc/net/tcp"),
      (count) => Number(count) > 0,
    );
    await nginx.sh(`prlimit --nofile=8:8 --pid ${streams[0]!.headers['x-worker']}`);
    for (const channel of CHANNELS) {
      expect(await publishAgain(channel)).toBe(201);
    }
    for (const stream of streams) {
      await stream.untilEvents(1);
      stream.leave();
    }
  });
});
