import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate } from './certificate.ts';
import { eventually, publish, subscribers } from './client.ts';
import { type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

const { key, cert } = makeCertificate('localhost');

const setups = [
  { engine: 'qjs', doorbell: false },
  { engine: 'njs', doorbell: true },
] as const;

describe.each(setups)('over HTTP/3 ($engine, doorbell: $doorbell)', ({ engine, doorbell }) => {
  let nginx: Nginx;

  beforeAll(async () => {
    const server = (port: number, settings: string) => `server {
      listen ${port} quic reuseport;
      ssl_certificate tls/cert.pem;
      ssl_certificate_key tls/key.pem;
      ${settings}
      location /events/ { include sse/subscriber.conf; }
    }`;
    nginx = await startNginx({
      engine,
      doorbell,
      server: PUBLISH_AND_SUBSCRIBE,
      http:
        server(8443, 'set $sse_heartbeat 1h; keepalive_timeout 1h;') +
        server(8444, 'set $sse_heartbeat 500ms; keepalive_timeout 2s;'),
      files: { '/etc/nginx/tls/key.pem': key, '/etc/nginx/tls/cert.pem': cert },
    });
  });
  // For njs a request that ends while it waits is an error, and QUIC is the only transport that ends one.
  afterAll(() => nginx.stop(/pending events while closing request/));

  /** Starts a client in the container, which writes what it receives to a file. */
  function start(port: number, channel: string, options = ''): Promise<string> {
    const url = `https://127.0.0.1:${port}/events/${channel}`;
    return nginx.sh(
      `curl --http3-only -skN ${options} ${url} > /tmp/${channel} 2>/dev/null & echo $! > /tmp/${channel}.pid`,
    );
  }

  function received(channel: string): Promise<string> {
    return nginx.sh(`cat /tmp/${channel}`);
  }

  async function untilCounted(channel: string, wanted: number): Promise<void> {
    await eventually(
      () => subscribers(nginx, channel),
      (count) => count === wanted,
    );
  }

  test('a client gets events, and is uncounted when it leaves', async () => {
    await start(8443, 'left', '-m 2');
    await untilCounted('left', 1);
    await publish(nginx, 'left', 'hello');
    await untilCounted('left', 0);
    expect(await received('left')).toContain('data: hello\n\n');
  });

  test('a client that takes heartbeats outlives keepalive_timeout; one that vanishes does not', async () => {
    await start(8444, 'lost');
    await eventually(
      () => received('lost'),
      (text) => text.split('\n:').length > 8,
    );
    expect(await subscribers(nginx, 'lost')).toBe(1);
    await nginx.sh('kill -STOP $(cat /tmp/lost.pid)');
    await untilCounted('lost', 0);
  });
});
