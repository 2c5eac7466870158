/** Runs in the container of holds.ts: fills a log, then measures how long a worker answers nobody else. */
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';

const PORT = 8080;
const CLIENTS = 1000;
/** In one request: more would hold the worker by itself. */
const AT_ONCE = 1000;
/** In milliseconds. */
const FOR = 5000;
const ARRIVAL = 1000;

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const events = Number(process.argv[2]);

for (let i = 0; i < events; i += AT_ONCE) {
  await ask('POST', '/publish/log', 'data: a text of some length, as they often are\n\n'.repeat(AT_ONCE));
}
await measure('nothing', async () => {});
await measure(`${CLIENTS} clients that have missed nothing`, () => clients('X: y'));
await measure(`${CLIENTS} clients with an unknown id`, () => clients('Last-Event-ID: of-another-life'));
await measure(`${CLIENTS} clients, ?history=all`, () => clients('X: y', '?history=all'));
await measure('DELETE', async () => {
  await ask('DELETE', '/publish/log', '', new Agent());
});

async function measure(what: string, load: () => Promise<unknown>): Promise<void> {
  const waits: number[] = [];
  /** While the clients come, a worker is held by accepting them. */
  let longestLater = 0;
  const arrived = Date.now() + ARRIVAL;
  const end = Date.now() + FOR;
  const done = load();
  while (Date.now() < end) {
    const before = performance.now();
    await ask('GET', '/health', '');
    waits.push(performance.now() - before);
    longestLater = Date.now() > arrived ? Math.max(longestLater, waits.at(-1)!) : 0;
  }
  const sockets = (await done) as Socket[] | undefined;
  for (const socket of sockets ?? []) {
    socket.destroy();
  }
  waits.sort((a, b) => a - b);
  const at = (part: number) => waits[Math.min(waits.length - 1, Math.floor(waits.length * part))]!.toFixed(1);
  console.log([what, waits.length, at(0.5), at(0.99), at(1), longestLater.toFixed(1)].join(' | '));
  // Until nginx has found out that they left.
  await new Promise((resolve) => setTimeout(resolve, 2000));
}

async function clients(header: string, query = ''): Promise<Socket[]> {
  return Array.from({ length: CLIENTS }, () => {
    const socket = connect(PORT, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`GET /events/log${query} HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`);
    socket.resume();
    return socket;
  });
}

function ask(method: string, path: string, body: string, through = agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'text/event-stream' };
    request({ port: PORT, method, path, headers, agent: through }, (reply) => {
      reply.resume();
      reply.on('end', resolve);
    })
      .on('error', reject)
      .end(body);
  });
}
