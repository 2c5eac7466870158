import { expect, test } from 'vitest';
import { eventually, publish, send } from './client.ts';
import { privateMemory } from './memory.ts';
import { PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';
import { resuming } from './resuming.ts';
import { type Connection, type SseServer, startSseServer, startStream } from './sse-server.ts';

const EVENTS = 50000;
const ZONES = `
js_shared_dict_zone zone=sse_log:64m timeout=1h;
js_shared_dict_zone zone=sse_count:4m type=number timeout=1h;
js_shared_dict_zone zone=sse_ids:16m type=number timeout=1h evict;
js_shared_dict_zone zone=sse_upstream:32k`;

/** Handlers that look into the zone of the upstreams, and fill it. */
const ZONE = `
const zone = ngx.shared.sse_upstream;
function show(r) {
  r.return(200, zone.keys().join());
}
function addKey(r) {
  zone.set('key', 'old');
  r.return(204);
}
function fill(r) {
  for (const size of [1000, 100, 1]) {
    try {
      for (let i = 0; ; i++) {
        zone.set('fill-' + size + '-' + i, 'x'.repeat(size));
      }
    } catch {}
  }
  r.return(204);
}
function empty(r) {
  for (const key of zone.keys().filter((key) => key.startsWith('fill'))) {
    zone.delete(key);
  }
  r.return(204);
}
export default { show, addKey, fill, empty };`;

function follows(upstream: SseServer): string {
  return `server {
    include sse/inner.conf;
    server_name fast;
    location / {
      proxy_pass http://${upstream.address};
      set $sse_history 100000;
      include sse/upstream.conf;
    }
  }`;
}

test(`${EVENTS} events as fast as they come: none lost, and memory stays flat`, async () => {
  const upstream = await startSseServer();
  const nginx = await startNginx({
    http: follows(upstream),
    server: PUBLISH_AND_SUBSCRIBE,
    files: { '/etc/nginx/sse/zones.conf': `${ZONES};` },
  });
  await eventually(
    async () => upstream.open().length,
    (length) => length === 1,
  );
  const connection = upstream.open()[0]!;
  const arrived = (count: number) =>
    eventually(
      async () => (await send(nginx, '/publish/fast')).json?.events ?? 0,
      (events) => events === count,
    );

  await flood(connection, 0, EVENTS / 5);
  await arrived(EVENTS / 5);
  const before = await privateMemory(nginx);
  await flood(connection, EVENTS / 5, EVENTS);
  await arrived(EVENTS);
  const after = await privateMemory(nginx);
  console.log(`private memory of nginx after ${EVENTS / 5} events ${before} KB, after ${EVENTS} ${after} KB`);
  expect(after - before).toBeLessThan(4096);

  const received: string[] = [];
  const follower = resuming(nginx, 'fast', (data) => received.push(data));
  await eventually(
    async () => received.length,
    (length) => length >= EVENTS,
  );
  await follower.stop();
  expect(received).toEqual(Array.from({ length: EVENTS }, (_, i) => dataOf(i)));
  await upstream.close();
  await nginx.stop(/Connection refused/, /prematurely closed connection/, /sse: upstream of "/);
});

/** Sends events as fast as nginx takes them. */
async function flood({ response }: Connection, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    if (!response.write(`id: ${i}\nevent: fast\ndata: ${dataOf(i)}\n\n`)) {
      await new Promise((resolve) => response.once('drain', resolve));
    }
  }
}

function dataOf(i: number): string {
  return `${i} ${'x'.repeat(100)}`;
}

test('memory stays flat over hundreds of connections', async () => {
  const upstream = await startSseServer();
  upstream.answer = (connection) => {
    startStream(connection);
    connection.response.end('retry: 1\n\ndata: x\n\n');
  };
  const nginx = await startNginx({ http: follows(upstream) });
  const connected = (count: number) =>
    eventually(
      async () => upstream.connections.length,
      (length) => length >= count,
    );
  await connected(150);
  const before = await privateMemory(nginx);
  await connected(650);
  const after = await privateMemory(nginx);
  console.log(`private memory of nginx after 150 connections ${before} KB, after 650 ${after} KB`);
  // 500 connections would keep 5.7 MB; what is freed after a hundred of them may be a megabyte in each of two workers.
  expect(after - before).toBeLessThan(3072);
  await upstream.close();
  await nginx.stop(/Connection refused/, /prematurely closed connection/, /sse: upstream of "/);
});

test('with state= it goes on after a restart where it was', async () => {
  const upstream = await startSseServer();
  const nginx = await startNginx({
    http: follows(upstream),
    server: PUBLISH_AND_SUBSCRIBE,
    files: { '/etc/nginx/sse/zones.conf': `${ZONES} state=/tmp/sse-upstream.json;` },
  });
  await eventually(
    async () => upstream.connections.length,
    (length) => length === 1,
  );
  upstream.write('id: 41\ndata: x\n\n');
  const saved = await eventually(
    () => nginx.sh('cat /tmp/sse-upstream.json'),
    (state) => state.includes('41'),
  );
  // Nothing but that: the key to nginx's own server is in no file.
  expect(Object.keys(JSON.parse(saved))).toEqual(['state/fast']);
  await nginx.restart();
  await eventually(
    async () => upstream.connections.length,
    (length) => length === 2,
  );
  expect(upstream.connections[1]!.headers['last-event-id']).toBe('41');
  await upstream.close();
  await nginx.stop(/Connection refused/, /prematurely closed connection/, /sse: upstream of "/);
});

test('a key from an old state file opens nothing, and is removed', async () => {
  const upstream = await startSseServer();
  const nginx = await startNginx({
    http: follows(upstream),
    server: `${PUBLISH_AND_SUBSCRIBE}
      js_import zone from /etc/nginx/zone.js;
      location = /zone { js_content zone.show; }
      location = /key { js_content zone.addKey; }`,
    files: { '/etc/nginx/sse/zones.conf': `${ZONES};`, '/etc/nginx/zone.js': ZONE },
  });
  await eventually(
    async () => upstream.connections.length,
    (length) => length === 1,
  );
  await send(nginx, '/key');
  const ask =
    "curl -s -o /dev/null -w '%{http_code}' -H 'Host: fast' -H 'X-SSE-Key: old' http://127.0.0.1:8129/";
  expect(await nginx.sh(ask)).toBe('403');
  await nginx.sh('kill -HUP 1');
  await eventually(
    async () => (await send(nginx, '/zone')).text,
    (keys) => keys === 'state/fast',
  );
  await upstream.close();
  await nginx.stop(/Connection refused/, /prematurely closed connection/, /sse: upstream of "/);
});

test('a full zone is said once, loses nothing, and is tried again', async () => {
  const upstream = await startSseServer();
  upstream.answer = (connection) => {
    startStream(connection);
    connection.response.write('retry: 20\n\nid: 1\ndata: first\n\n');
  };
  const nginx = await startNginx({
    http: follows(upstream),
    server: `${PUBLISH_AND_SUBSCRIBE}
      js_import zone from /etc/nginx/zone.js;
      location = /fill { js_content zone.fill; }
      location = /empty { js_content zone.empty; }`,
    files: { '/etc/nginx/sse/zones.conf': `${ZONES};`, '/etc/nginx/zone.js': ZONE },
  });
  await eventually(
    async () => (await send(nginx, '/publish/fast')).json?.events ?? 0,
    (events) => events === 1,
  );
  upstream.answer = startStream;
  await send(nginx, '/fill');
  upstream.write('id: 2\ndata: second\n\n');
  const line =
    'sse: upstream of "fast" cannot be followed: the zone sse_upstream is full: enlarge it in sse/zones.conf';
  await eventually(
    () => nginx.log(),
    (log) => log.includes(line),
  );
  expect((await send(nginx, '/publish/fast')).json.events).toBe(1);
  await send(nginx, '/empty');
  await eventually(
    async () => upstream.connections.length,
    (length) => length === 2,
  );
  expect(upstream.connections[1]!.headers['last-event-id']).toBe('1');
  upstream.write('id: 2\ndata: second\n\n');
  await eventually(
    async () => (await send(nginx, '/publish/fast')).json.events,
    (events) => events === 2,
  );
  expect((await nginx.log()).split(line)).toHaveLength(2);
  await upstream.close();
  await nginx.stop(
    /Connection refused/,
    /prematurely closed/,
    /sse: upstream of "/,
    /no memory in js shared zone "sse_upstream"/,
  );
});

test('without a name it says what is missing, once', async () => {
  const upstream = await startSseServer();
  const nginx = await startNginx({ http: follows(upstream).replace(/server_name .*/, '') });
  const line = 'sse: upstream: put "server_name <channel>;" next to its "include sse/inner.conf;"';
  const log = await eventually(
    () => nginx.log(),
    (text) => text.includes(line),
  );
  expect(log.split(line)).toHaveLength(2);
  expect(upstream.connections).toHaveLength(0);
  await upstream.close();
  await nginx.stop(new RegExp(line));
});

test('without its zone it says what is missing, once, and everything else works', async () => {
  const upstream = await startSseServer();
  upstream.answer = startStream;
  const nginx = await startNginx({
    http: follows(upstream),
    server: PUBLISH_AND_SUBSCRIBE,
    files: { '/etc/nginx/sse/zones.conf': ZONES.replace(/js_shared_dict_zone zone=sse_upstream.*/, '') },
  });
  const line = 'sse: upstream: sse/zones.conf has to declare the zone sse_upstream';
  const log = await eventually(
    () => nginx.log(),
    (text) => text.includes(line),
  );
  expect(log.split(line)).toHaveLength(2);
  expect(await publish(nginx, 'news', 'x')).toMatchObject({ events: 1 });
  // Without the zone there is no key, and so nobody gets in.
  const status = "curl -s -o /dev/null -w '%{http_code}' -H 'Host: fast' http://127.0.0.1:8129/";
  expect(await nginx.sh(status)).toBe('403');
  expect(upstream.connections).toHaveLength(0);
  await upstream.close();
  await nginx.stop(new RegExp(line), /sse_upstream/);
});
