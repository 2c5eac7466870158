import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, publish, type Stream, send, sendAndReset } from './client.ts';
import { changed, engines, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { type SseServer, startSseServer } from './sse-server.ts';

/** Who polls so rarely receives nothing unless the doorbell rings, until it looks by itself after 45 s. */
const BEFORE_IT_LOOKS = 20000;
const NO_POLLING = `location /quiet/ {
  set $sse_poll 10m;
  set $sse_heartbeat 10m;
  include sse/subscriber.conf;
}`;
/** Which rings for nobody: the bell may be that of a channel here, whose subscribers would be woken again and again until its own number is higher. */
const NO_RING = '1-0.ring.sse';
/** Events that follow each other faster are polled for. */
const BUSY = 500;

describe.each(engines)('doorbell (%s)', (engine) => {
  let nginx: Nginx;
  let upstream: SseServer;

  beforeAll(async () => {
    upstream = await startSseServer();
    nginx = await startNginx({
      engine,
      doorbell: true,
      server: `set $sse_history 1000; ${PUBLISH_AND_SUBSCRIBE} ${NO_POLLING}`,
      http: `server {
        include sse/inner.conf;
        server_name followed;
        location / { proxy_pass http://${upstream.address}; include sse/upstream.conf; }
      }`,
    });
  });
  afterAll(async () => {
    await upstream.close();
    await nginx.stop(
      /exited on signal 9/,
      /prematurely closed connection/,
      /Connection refused/,
      /Connection reset by peer\) while resolving/, // the killed worker's end of another one's connection
      /sse: upstream of "/,
    );
  });

  /** Opens streams in both workers. */
  async function onBothWorkers(path: string): Promise<Stream[]> {
    const streams: Stream[] = [];
    const workers = new Set<unknown>();
    while (workers.size < 2 || streams.length < 6) {
      const stream = await open(nginx, path);
      workers.add(stream.headers['x-worker']);
      streams.push(stream);
    }
    return streams;
  }

  test('wakes the subscribers of both workers, again and again', { timeout: BEFORE_IT_LOOKS }, async () => {
    const streams = await onBothWorkers('/quiet/often');
    // By themselves they would hear of each within five or six seconds, because nginx asks again.
    for (let i = 1; i <= 6; i++) {
      await publish(nginx, 'often', String(i));
      await Promise.all(streams.map((stream) => stream.untilEvents(i)));
      await new Promise((resolve) => setTimeout(resolve, BUSY + 100));
    }
    for (const { events, leave } of streams) {
      expect(events.map(({ data }) => data)).toEqual(['1', '2', '3', '4', '5', '6']);
      leave();
    }
  });

  test('wakes who waits for several channels', async () => {
    const channels = Array.from({ length: 20 }, (_, i) => `channel-${i}`);
    const stream = await open(nginx, `/events/${channels.join(',')}`);
    for (const [i, channel] of [...channels, ...channels].entries()) {
      await publish(nginx, 'unrelated', 'x');
      await publish(nginx, channel, `in ${channel}`);
      await stream.untilEvents(i + 1);
    }
    expect(stream.events.map(({ data }) => data)).toEqual(
      [...channels, ...channels].map((name) => `in ${name}`),
    );
    stream.leave();
  });

  test('a burst of events arrives whole', async () => {
    const streams = await onBothWorkers('/events/burst');
    await Promise.all(Array.from({ length: 200 }, (_, i) => publish(nginx, 'burst', String(i))));
    for (const stream of streams) {
      await stream.untilEvents(200);
      expect(new Set(stream.events.map(({ data }) => data)).size).toBe(200);
      stream.leave();
    }
  });

  test('wakes for the events of an upstream', { timeout: BEFORE_IT_LOOKS }, async () => {
    await eventually(
      async () => upstream.open().length,
      (length) => length === 1,
    );
    const stream = await open(nginx, '/quiet/followed');
    upstream.write('id: 1\ndata: from upstream\n\n');
    await stream.untilEvents(1);
    stream.leave();
  });

  test('a publisher that leaves before it is answered is no error', {
    timeout: BEFORE_IT_LOOKS,
  }, async () => {
    const channels = Array.from({ length: 10 }, (_, i) => `leaving-${i}`);
    const streams = await Promise.all(channels.map((channel) => open(nginx, `/quiet/${channel}`)));
    for (const channel of channels) {
      await sendAndReset(nginx, `POST /publish/${channel}`);
    }
    await Promise.all(streams.map((stream) => stream.untilEvents(1)));
    for (const { leave } of streams) {
      leave();
    }
  });

  test('wakes when the channel is deleted', { timeout: BEFORE_IT_LOOKS }, async () => {
    const stream = await open(nginx, '/quiet/deleted');
    await send(nginx, '/publish/deleted', { method: 'DELETE' });
    await stream.until(({ ended }) => ended);
  });

  test('ignores what is no question of ours', async () => {
    const query = async (port: number, hex: string) => {
      const answer = await nginx.sh(
        `bash -c 'exec 3<>/dev/udp/127.0.0.1/${port}; printf "${hex.replace(/../g, '\\\\x$&')}" >&3; timeout 1 head -c 1 <&3 | wc -c'`,
      );
      return answer.trim();
    };
    const header = '0001010000010000000000000000'.slice(0, 24);
    const name = (text: string) =>
      text
        .split('.')
        .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]).toString('hex'))
        .join('');
    const ask = (port: number, text: string, type = '0001') =>
      query(port, `${header}${name(text)}00${type}0001`);
    expect([await ask(8130, NO_RING), await ask(8131, NO_RING)]).toEqual(['1', '1']);
    const ignored = [8130, 8131].flatMap((port) => [
      ...['example.com', '1-1.ring.example', 'x.ring.sse', '1-zzzzzz.wait.sse'].map((text) =>
        ask(port, text),
      ),
      ask(port, NO_RING, '001c'),
      query(port, '00'),
      query(port, 'ff'.repeat(600)),
      query(port, `${header}3f`),
    ]);
    expect(new Set(await Promise.all(ignored))).toEqual(new Set(['0']));
  });

  test('answers each ring, however many come, and starts over after a thousand', async () => {
    const ring = `${'0001010000010000'.padEnd(24, '0')}03372d300472696e67037373650000010001`;
    const received = await nginx.sh(`bash -c '
      exec 3<>/dev/udp/127.0.0.1/8131
      for portion in {1..15}; do
        for i in {1..100}; do printf "${ring.replace(/../g, '\\\\x$&')}" >&3; done
        head -c 27100 <&3 | wc -c
      done'`);
    expect(received.trim().split(/\s+/)).toEqual(Array(15).fill('27100'));
  });

  test('listens on loopback only', async () => {
    const sockets = (await nginx.sh("awk 'NR > 1 { print $2, $3 }' /proc/net/udp")).trim().split('\n');
    // 127.0.0.1 at 8130 and 8131, and the sender's at 8132; 224.0.0.1:8133, from that one only.
    const LISTENING = /^0100007F:1FC[23] 00000000:0000$/;
    const TALKING = /^(0100007F:[0-9A-F]{4} (0100007F:1FC[23]|010000E0:1FC5)|010000E0:1FC5 0100007F:1FC4)$/;
    expect(sockets.filter((socket) => !LISTENING.test(socket) && !TALKING.test(socket))).toEqual([]);
    expect(sockets.filter((socket) => LISTENING.test(socket))).not.toEqual([]);
    const connections = await nginx.sh("awk '/:1FC[23] / { print $2, $3 }' /proc/net/tcp /proc/net/tcp6");
    // Those that listen at 8130 and 8131, and the resolvers'.
    expect(connections.trim().split('\n')).toContain('0100007F:1FC2 00000000:0000');
    expect(connections).toMatch(/^(0100007F:[0-9A-F]{4} (0100007F|00000000):[0-9A-F]{4}\n)+$/);
  });

  test('heals when the worker that held the questions was killed', { timeout: BEFORE_IT_LOOKS }, async () => {
    const streams = await onBothWorkers('/quiet/healing');
    for (let i = 1; i <= 2; i++) {
      const killed = streams.find(({ closed }) => !closed)!.headers['x-worker'];
      await nginx.sh(`kill -9 ${killed}`);
      const left = streams.filter(({ headers, closed }) => !closed && headers['x-worker'] !== killed);
      streams.push(await open(nginx, '/quiet/healing?history=all'));
      // On a connection of its own: one that is kept alive may lead to the worker that is no more.
      await nginx.sh(`curl -s -d ${i} http://127.0.0.1:8080/publish/healing`);
      for (const stream of [...left, streams.at(-1)!]) {
        await stream.until(({ events, closed }) => closed || events.at(-1)?.data === String(i));
      }
    }
    for (const stream of streams) {
      stream.leave();
    }
  });
});

test('heals when rings are lost', { timeout: BEFORE_IT_LOOKS }, async () => {
  const nginx = await startNginx({
    doorbell: true,
    server: `${PUBLISH_AND_SUBSCRIBE} ${NO_POLLING}`,
    // There is nobody.
    files: changed('doorbell-server.conf', 'proxy_pass 224.0.0.1:8133', 'proxy_pass 224.0.0.1:8134'),
  });
  const streams = await Promise.all(['a', 'b', 'c'].map((channel) => open(nginx, `/quiet/${channel}`)));
  for (const channel of ['a', 'b', 'c']) {
    await publish(nginx, channel, 'x');
  }
  await Promise.all(streams.map((stream) => stream.untilEvents(1)));
  for (const { leave } of streams) {
    leave();
  }
  await nginx.stop();
});

test('a resolver whose connection has ended connects again, and nobody is lost', {
  timeout: 60000,
}, async () => {
  const nginx = await startNginx({
    doorbell: true,
    workers: 1,
    server: `location /publish/ { include sse/publisher.conf; } ${NO_POLLING}`,
    files: changed('doorbell-server.conf', 'preread_timeout 10m', 'preread_timeout 5s'),
  });
  const channels = Array.from({ length: 20 }, (_, i) => `renewed-${i}`);
  const streams = await Promise.all(channels.map((channel) => open(nginx, `/quiet/${channel}`)));
  const publishToAll = (data: string) =>
    nginx.sh(channels.map((name) => `curl -sd ${data} http://127.0.0.1:8080/publish/${name};`).join(''));
  await publishToAll('1');
  await Promise.all(streams.map((stream) => stream.untilEvents(1)));
  /** The resolver's end, with its port. */
  const connection = async () =>
    (await nginx.sh('awk \'$3 == "0100007F:1FC2" && $4 == "01" { print $2 }\' /proc/net/tcp')).trim();
  // What is not repeated over them is forgotten after seven seconds.
  const seen = new Set<string>();
  while (seen.size < 4) {
    seen.add(await eventually(connection, (port) => port !== '' && !seen.has(port)));
  }
  await publishToAll('2');
  await Promise.all(streams.map((stream) => stream.untilEvents(2)));
  for (const { leave } of streams) {
    leave();
  }
  await nginx.stop();
});
