import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, open, send } from './client.ts';
import { killOutsideOfLocks, LOCKS, type Nginx, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { resuming } from './resuming.ts';
import { type Connection, type SseServer, startSseServer, startStream } from './sse-server.ts';

const EXPECTED = [
  /Connection refused/,
  /prematurely closed connection/,
  /upstream timed out/,
  /reset by peer/,
];

/** A server that follows an upstream into a channel. */
function follows(channel: string, upstream: SseServer, settings = ''): string {
  return `server {
    include sse/inner.conf;
    server_name ${channel};
    location / {
      proxy_set_header Authorization "Bearer secret";
      proxy_pass http://${upstream.address}/${channel};
      ${settings}
      include sse/upstream.conf;
    }
  }`;
}

describe('upstream', () => {
  let nginx: Nginx;
  let upstream: SseServer;
  let other: SseServer;
  const answers: Record<string, (connection: Connection) => void> = {};
  const on = (path: string) => upstream.connections.filter((connection) => connection.path.startsWith(path));
  const refuse = (connection: Connection, status: number, headers: Record<string, string> = {}, body = '') =>
    connection.response.writeHead(status, headers).end(body);

  beforeAll(async () => {
    upstream = await startSseServer();
    other = await startSseServer();
    upstream.answer = (connection) => (answers[connection.path] ?? startStream)(connection);
    answers['/gone'] = (connection) => refuse(connection, 204);
    answers['/down'] = (connection) =>
      refuse(connection, 503, { 'Content-Type': 'text/html' }, '<h1>no</h1>');
    answers['/page'] = (connection) =>
      refuse(connection, 200, { 'Content-Type': 'text/html' }, '<h1>no</h1>');
    answers['/radio'] = ({ response }) =>
      response.writeHead(200, { 'Content-Type': 'audio/mpeg' }).write('x');
    answers['/moved'] = (connection) => refuse(connection, 307, { Location: '/new%20place?a=1&b=%2F' });
    answers['/away'] = (connection) => refuse(connection, 302, { Location: `http://${other.address}/there` });
    answers['/round'] = (connection) =>
      refuse(connection, 301, { Location: `http://${upstream.address}/round` });
    answers['/strange'] = (connection) => refuse(connection, 308, { Location: 'mailto:x@example.com' });
    const channels = ['prices', 'gone', 'down', 'page', 'radio', 'moved', 'away', 'round', 'strange'];
    nginx = await startNginx({
      server: PUBLISH_AND_SUBSCRIBE,
      http: `${channels.map((channel) => follows(channel, upstream)).join('\n')}
        ${follows('quiet', upstream, 'proxy_read_timeout 1s;')}
        ${follows('lines', upstream, 'set $sse_max_event 1k;')}`,
    });
  });
  afterAll(async () => {
    await Promise.all([upstream.close(), other.close()]);
    await nginx.stop(...EXPECTED, /sse: upstream of "/);
  });

  test('has one connection, any number of clients get its events with ids and types kept', async () => {
    await eventually(
      async () => on('/prices').length,
      (count) => count === 1,
    );
    const { headers } = on('/prices')[0]!;
    expect(headers).toMatchObject({
      accept: 'text/event-stream',
      authorization: 'Bearer secret',
      host: upstream.address,
    });
    expect(Object.keys(headers).filter((name) => name.startsWith('x-'))).toEqual([]);

    const streams = await Promise.all([1, 2, 3].map(() => open(nginx, '/events/prices')));
    on('/prices')[0]!.response.write('id: 1\nevent: price\ndata: a\ndata: b\n\n');
    on('/prices')[0]!.response.write('data: zwei ☃\n\n');
    for (const stream of streams) {
      await stream.untilEvents(2);
      expect(stream.events[0]).toEqual({ id: '1', event: 'price', data: 'a\nb' });
      expect(stream.events[1]).toMatchObject({ data: 'zwei ☃', id: expect.stringMatching(/-2$/) });
      stream.leave();
    }
    expect(on('/prices')).toHaveLength(1);
  });

  test('reconnects after its retry, with the Last-Event-ID', async () => {
    const stream = await open(nginx, '/events/prices', { 'Last-Event-ID': '1' });
    on('/prices')[0]!.response.write('retry: 50\nid: 3\ndata: three\n\n');
    await stream.untilEvents(2);
    on('/prices')[0]!.response.end();
    await eventually(
      async () => on('/prices').length,
      (count) => count === 2,
    );
    expect(on('/prices')[1]!.headers['last-event-id']).toBe('3');
    on('/prices')[1]!.response.write('id: 4\ndata: four\n\n');
    await stream.untilEvents(3);
    expect(stream.events.at(-1)).toMatchObject({ id: '4', data: 'four' });
    stream.leave();
  });

  test('204 stops for good', async () => {
    await eventually(
      () => nginx.log(),
      (log) => log.includes('upstream of "gone" answered 204: not following it any more'),
    );
    expect(on('/gone')).toHaveLength(1);
  });

  test.each([
    ['down', 'answers with status 503'],
    ['page', 'answers with Content-Type "text/html", not text/event-stream'],
    ['radio', 'answers with Content-Type "audio/mpeg", not text/event-stream'],
    ['round', 'redirects more than 5 times'],
    ['strange', 'redirects to "mailto:x@example.com", which is no URL to follow'],
  ])('%s is retried, and said once', async (channel, problem) => {
    const tries = channel === 'round' ? 6 : 1;
    await eventually(
      async () => on(`/${channel}`).length,
      (count) => count > tries,
    );
    const said = (await nginx.log()).split(
      `sse: upstream of "${channel}" ${problem}; trying again until it works`,
    );
    expect(said).toHaveLength(2);
  });

  test('follows a redirect on the same server, with the headers that are set', async () => {
    await eventually(
      async () => on('/new').length,
      (count) => count === 1,
    );
    const [connection] = on('/new');
    expect(connection!.path).toBe('/new%20place?a=1&b=%2F');
    expect(connection!.headers.authorization).toBe('Bearer secret');
    const stream = await open(nginx, '/events/moved');
    connection!.response.write('data: moved\n\n');
    await stream.untilEvents(1);
    stream.leave();
  });

  test('follows a redirect to another server, without the headers that are set', async () => {
    await eventually(
      async () => other.open().length,
      (count) => count === 1,
    );
    expect(other.connections[0]).toMatchObject({ path: '/there', headers: { accept: 'text/event-stream' } });
    expect(other.connections[0]!.headers.authorization).toBeUndefined();
    const stream = await open(nginx, '/events/away');
    other.write('id: a\ndata: away\n\n');
    await stream.untilEvents(1);
    stream.leave();
  });

  test('an upstream that sends nothing for the read timeout is given up', async () => {
    await eventually(
      async () => on('/quiet').length,
      (count) => count > 1,
    );
    expect(on('/quiet')[0]!.closed).toBe(true);
  });

  test('a line or an event over the limit ends the connection, and nothing is lost but it', async () => {
    await eventually(
      async () => on('/lines').length,
      (count) => count === 1,
    );
    const stream = await open(nginx, '/events/lines');
    on('/lines')[0]!.response.write(`id: 1\ndata: good\n\nid: 2\ndata: ${'x'.repeat(2000)}`);
    await stream.untilEvents(1);
    await eventually(
      async () => on('/lines').length,
      (count) => count > 1,
    );
    expect(on('/lines')[1]!.headers['last-event-id']).toBe('1');
    expect(await nginx.log()).toContain(
      'sse: upstream of "lines" cannot be read: the event stream has a longer line than 1040',
    );
    stream.leave();
  });

  test('nobody else can use the inner server', async () => {
    const ask = (key: string) =>
      nginx.sh(`curl -s -o /dev/null -w '%{http_code}' -H 'Host: prices' ${key} http://127.0.0.1:8129/`);
    expect([await ask(''), await ask("-H 'X-SSE-Key: guess'")]).toEqual(['403', '403']);
    const outside = await send(nginx, '/', {
      headers: { host: 'prices', 'X-SSE-URL': `http://${other.address}/` },
    });
    expect(outside.text).toContain('Welcome to nginx');
    expect(other.connections).toHaveLength(1);
  });
});

describe('fencing', () => {
  const RELOADS = 10;
  const KILLS = 6;

  test(`${RELOADS} reloads and ${KILLS} killed workers under 200 events/s: every event once, in order`, async () => {
    const upstream = await startSseServer();
    const ticker = replayable(upstream, 5);
    const nginx = await startNginx({
      http: `js_import worker from /etc/nginx/worker.js;
        ${follows('ticks', upstream, 'set $sse_history 100000;')}`,
      server: `${PUBLISH_AND_SUBSCRIBE} ${LOCKS} location /worker { js_content worker.show; }`,
      files: {
        '/etc/nginx/worker.js':
          'export default { show(r) { r.return(200, ngx.worker_id + " " + r.variables.pid); } };',
      },
    });
    const received: string[] = [];
    const follower = resuming(nginx, 'ticks', (data) => received.push(data));
    const progress = async () => {
      const from = received.length;
      await eventually(
        async () => received.length,
        (length) => length > from + 50,
      );
    };
    await progress();
    for (let i = 0; i < RELOADS; i++) {
      await nginx.sh('kill -HUP 1');
      await progress();
    }
    for (let i = 0; i < KILLS; i++) {
      // Worker 0 has the loop; any of the two has the connections.
      await killOutsideOfLocks(nginx, await worker(nginx, String(i % 2)));
      await progress();
    }
    const last = ticker.stop();
    await eventually(
      async () => received.at(-1),
      (data) => data === String(last),
    );
    expect(received).toEqual(Array.from({ length: last }, (_, i) => String(i + 1)));
    await eventually(
      async () => upstream.open().length,
      (count) => count === 1,
    );
    await follower.stop();
    await upstream.close();
    await nginx.stop(...EXPECTED, /sse: upstream of "/, /exited on signal 9/);
  });

  async function worker(nginx: Nginx, wanted: string): Promise<string> {
    for (;;) {
      const answer = await send(nginx, '/worker', { headers: { connection: 'close' } }).catch(
        () => undefined,
      );
      const [id, pid] = answer?.text.split(' ') ?? [];
      if (id === wanted) {
        return pid!;
      }
    }
  }
});

/** Makes a server send events with consecutive ids, and replay what came after a Last-Event-ID. */
function replayable(upstream: SseServer, interval: number): { stop(): number } {
  let last = 0;
  const event = (id: number) => `id: ${id}\ndata: ${id}\n\n`;
  upstream.answer = (connection) => {
    startStream(connection);
    connection.response.write('retry: 20\n\n');
    for (let id = Number(connection.headers['last-event-id'] ?? 0) + 1; id <= last; id++) {
      connection.response.write(event(id));
    }
  };
  const timer = setInterval(() => upstream.write(event(++last)), interval);
  return {
    stop: () => {
      clearInterval(timer);
      return last;
    },
  };
}
