import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, publish, subscribers } from './client.ts';
import { engines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

/**
 * How many connections nginx holds whose clients have gone: those that it has not closed after the client's FIN (CLOSE_WAIT), and
 * those that were reset, which the kernel does not list any more.
 */
async function leftBehind(nginx: Nginx): Promise<number> {
  const count = await nginx.sh(`
    cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/unix > /tmp/listed
    grep -cE ':1F90 [0-9A-F]{8}:[0-9A-F]{4} 08 ' /proc/net/tcp
    for inode in $(ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n 's/.*socket:.\\([0-9]*\\).*/\\1/p' | sort -u); do
      grep -qw $inode /tmp/listed || echo gone
    done | wc -l`);
  const [waiting, gone] = count.trim().split(/\s+/).map(Number);
  return waiting! + gone!;
}

describe.each(engines)('doorbell, with streams that are short (%s)', (engine) => {
  let nginx: Nginx;

  beforeAll(async () => {
    nginx = await startNginx({
      engine,
      doorbell: true,
      server: `set $sse_poll 10m; set $sse_heartbeat 10m; ${PUBLISH_AND_SUBSCRIBE}
        location /short/ { set $sse_lifetime 3s; include sse/subscriber.conf; }`,
    });
  });
  afterAll(() => nginx.stop());

  test('a client that leaves soon leaves no connection behind, and others of its channel stay', async () => {
    const stays = await open(nginx, '/events/page');
    await nginx.sh('for i in 1 2 3 4 5; do curl -sN -m 1 http://127.0.0.1:8080/events/page & done; wait');
    await nginx.sh('curl -sN -m 1 http://127.0.0.1:8080/events/alone');
    expect(await leftBehind(nginx)).toBe(6);
    // A wait that nobody releases takes three minutes.
    await eventually(
      () => leftBehind(nginx),
      (count) => count === 0,
    );
    expect([await subscribers(nginx, 'page'), await subscribers(nginx, 'alone')]).toEqual([1, 0]);
    await publish(nginx, 'page', 'hello');
    await stays.untilEvents(1);
    stays.leave();
  });

  test('$sse_lifetime ends a stream that waits, and its connection takes the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const text = await get(nginx, agent, '/short/quiet');
    expect(text).toMatch(/\nretry: [0-9]{1,3}\n$/);
    // A wait that nobody releases keeps the connection for three minutes.
    expect(await get(nginx, agent, '/publish/quiet')).toMatch(/^\{"channel":"quiet"/);
    agent.destroy();
  });
});

async function get(nginx: Nginx, agent: Agent, path: string): Promise<string> {
  const outgoing = request(`${nginx.url}${path}`, { agent }).end();
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage];
  return (await reply.toArray()).join('');
}

const NOT_USED = /sse: the doorbell is not used: put "env NJS_SSE_DOORBELL=1;"/;
const MISSING = /sse: NJS_SSE_DOORBELL is set but nothing listens on 127\.0\.0\.1:8130 and :8131/;

describe.each(engines)('half a doorbell (%s)', (engine) => {
  test('is named in the error log once, and subscribers poll', async () => {
    const nginx = await startNginx({
      engine,
      main: 'env NJS_SSE_DOORBELL=1;',
      server: `set $sse_heartbeat 10m; ${PUBLISH_AND_SUBSCRIBE}`,
    });
    await eventually(nginx.log, (log) => MISSING.test(log));
    const stream = await open(nginx, '/events/half');
    for (let i = 1; i <= 3; i++) {
      await publish(nginx, 'half', String(i));
      await stream.untilEvents(i);
    }
    stream.leave();
    expect((await nginx.log()).split('NJS_SSE_DOORBELL is set')).toHaveLength(2);
    await nginx.stop(MISSING);
  });

  test('without its environment is named, too', async () => {
    const nginx = await startNginx({
      engine,
      main: `include /usr/share/nginx/modules-available/mod-stream.con[f];
        load_module modules/ngx_stream_js_module.so;
        stream { include sse/doorbell-server.conf; }`,
      server: PUBLISH_AND_SUBSCRIBE,
    });
    await eventually(nginx.log, (log) => NOT_USED.test(log));
    const stream = await open(nginx, '/events/half');
    await publish(nginx, 'half', 'x');
    await stream.untilEvents(1);
    stream.leave();
    await nginx.stop(NOT_USED);
  });
});
