import { append } from './channel/append.ts';
import { findChannel, idOf, lastPlace, logKey } from './channel/channel.ts';
import { announceNotes } from './channel/ring.ts';
import { counts, isZoneFull, log, requireZones } from './channel/zones.ts';
import { isEventStream } from './event-stream/media-type.ts';
import { createParser, type Parser } from './event-stream/parse.ts';
import { innerKey } from './nginx/inner.ts';
import { countSetting, sizeSetting, timeSetting } from './nginx/settings.ts';
import { backoff } from './upstream/backoff.ts';
import { redirectTarget, type Target } from './upstream/redirect.ts';
import {
  isOverdue,
  loadState,
  saveState,
  stateZone,
  takeOver,
  type UpstreamState,
} from './upstream/state.ts';

/** So that a predecessor in another worker has finished the chunk at which it finds out that it is overdue. */
const HANDOVER = 100;
const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 307, 308];
const NO_CONTENT = 'no content';

/** Headers between the loop and the location. */
const KEY = 'X-SSE-Key';
const NUMBER = 'X-SSE-Number';
const PROBLEM = 'X-SSE-Problem';
const HOST = 'X-SSE-Host';
const PORT = 'X-SSE-Port';

/**
 * js_periodic: follows the upstream of its server for ever. The connection itself is a request to that server's
 * own location, which nginx proxies; it stands for as long as the upstream streams.
 */
async function follow(session: NginxPeriodicSession): Promise<void> {
  if (!hasZones()) {
    return;
  }
  const name = session.variables.server_name as string;
  if (!name) {
    ngx.log(ngx.ERR, 'sse: upstream: put "server_name <channel>;" next to its "include sse/inner.conf;"');
    return;
  }
  const inner = session.variables.sse_inner as string;
  const number = takeOver(name);
  let failures = 0;
  let said = '';
  await sleep(HANDOVER);

  while (!isOverdue(name, number)) {
    const problem = await connect(inner, name, number);
    if (isOverdue(name, number)) {
      return;
    }
    if (problem === NO_CONTENT) {
      ngx.log(ngx.WARN, `sse: upstream of "${name}" answered 204: not following it any more`);
      return;
    }
    const { healthy, retry } = loadState(name);
    failures = healthy ? 0 : failures + 1;
    if (problem !== '' && problem !== said) {
      ngx.log(ngx.ERR, `sse: upstream of "${name}" ${problem}; trying again until it works`);
    }
    said = problem;
    await sleep(backoff(failures, retry, Math.random()));
  }
}

function hasZones(): boolean {
  try {
    requireZones();
    innerKey();
    // Earlier versions kept the key there, which `state=` wrote into a file.
    stateZone().delete('key');
    return true;
  } catch (error) {
    ngx.log(ngx.ERR, `sse: upstream: ${(error as Error).message}`);
    return false;
  }
}

/** Resolves when the stream has ended: with '', or with what was wrong. */
async function connect(inner: string, name: string, number: number): Promise<string> {
  let target: Target | undefined;
  saveState(name, Object.assign(loadState(name), { healthy: false, problem: '' }));
  try {
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const reply = await ngx.fetch(`http://${inner}/`, { headers: requestHeaders(name, number, target) });
      const location = reply.headers.get('Location');
      if (REDIRECTS.indexOf(reply.status) < 0 || !location) {
        return reply.status === 204 ? NO_CONTENT : reply.headers.get(PROBLEM) || loadState(name).problem;
      }
      const from = target && 'url' in target ? target.url : undefined;
      target = redirectTarget(location, reply.headers.get(HOST) || '', reply.headers.get(PORT) || '', from);
      if (!target) {
        return `redirects to "${location}", which is no URL to follow`;
      }
    }
    return `redirects more than ${MAX_REDIRECTS} times`;
  } catch (error) {
    return `cannot be reached through ${inner}: ${(error as Error).message}`;
  }
}

function requestHeaders(name: string, number: number, target: Target | undefined): Record<string, string> {
  const headers: Record<string, string> = { Host: name, [KEY]: innerKey(), [NUMBER]: String(number) };
  const { lastEventId } = loadState(name);
  if (lastEventId !== '') {
    headers['Last-Event-ID'] = lastEventId;
  }
  if (target && 'url' in target) {
    headers['X-SSE-URL'] = target.url;
  } else if (target) {
    headers['X-SSE-Path'] = target.path;
    headers['X-SSE-Args'] = target.args;
  }
  return headers;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** js_set: 1 for a request of our own; anything else, or an error, keeps it out. */
function allowed(r: NginxHTTPRequest): string {
  return r.headersIn[KEY] === innerKey() ? '1' : '';
}

/** What the two filters share for one request. Set by the header filter: a pooled context brings old values. */
let connection: Connection | undefined;
let ended = false;

interface Connection {
  name: string;
  channel: string;
  number: number;
  state: UpstreamState;
  parser: Parser;
}

/** js_header_filter: looks at what the upstream answered. */
function header(r: NginxHTTPRequest): void {
  connection = undefined;
  ended = false;
  const headers = r.headersOut;
  const type = headers['Content-Type'] || '';
  delete headers['Content-Length'];
  headers[HOST] = r.variables.proxy_host || '';
  headers[PORT] = r.variables.proxy_port || '';
  if (r.status !== 200) {
    headers[PROBLEM] = `answers with status ${r.status}`;
  } else if (isEventStream(type)) {
    connection = open(r);
  } else {
    headers[PROBLEM] = `answers with Content-Type "${type}", not text/event-stream`;
  }
}

function open(r: NginxHTTPRequest): Connection {
  const name = r.variables.server_name as string;
  const channel = r.variables.sse_channel || name;
  const limits = {
    history: countSetting(r, 'sse_history', 100, 1000000),
    ttl: timeSetting(r, 'sse_ttl', 3600000, 1000),
  };
  const largest = sizeSetting(r, 'sse_max_event', 1048576, 64 * 1048576);
  const state = loadState(name);
  const known = unsavedIds(channel, state);
  const parser = createParser(
    (event) => {
      // Events without an id that come before one that is known were appended with it.
      const isKnown = event.id === undefined ? known.size > 0 : known.delete(event.id);
      if (!isKnown) {
        append(channel, event, limits);
      }
    },
    (ms) => {
      state.retry = ms;
    },
    { line: largest + 16, event: largest },
  );
  parser.lastEventId = state.lastEventId;
  return { name, channel, number: Number(r.headersIn[NUMBER]), state, parser };
}

/** Events that a worker appended but was killed before it could save its state. The upstream will replay them. */
function unsavedIds(channel: string, state: UpstreamState): Set<string> {
  const ids = new Set<string>();
  if (findChannel(channel) === state.epoch) {
    const last = lastPlace(state.epoch) || 0;
    for (let place = state.place + 1; place <= last; place++) {
      const event = log.get(logKey(state.epoch, place));
      if (event) {
        ids.add(idOf(event));
      }
    }
  }
  return ids;
}

/** js_body_filter: appends the events, and passes nothing on. */
function body(r: NginxHTTPRequest, data: Buffer, flags: NginxHTTPSendBufferOptions): void {
  const isOver = !connection || !take(connection, data) || flags.last;
  if (isOver && !ended) {
    // Our own request is over then, whereupon nginx closes the connection to the upstream.
    ended = true;
    connection = undefined;
    r.sendBuffer('', { last: true });
  }
}

/** Returns false if the connection has to end. */
function take({ name, channel, number, state, parser }: Connection, data: Buffer): boolean {
  if (isOverdue(name, number)) {
    return false;
  }
  try {
    parser.feed(data);
    state.healthy = true;
  } catch (error) {
    state.problem = isZoneFull(error)
      ? 'sends more than shared memory holds (sse/zones.conf)'
      : `cannot be read: ${(error as Error).message}`;
  }
  state.lastEventId = parser.lastEventId;
  state.epoch = findChannel(channel) || '';
  state.place = lastPlace(state.epoch) || 0;
  saveState(name, state);
  return state.problem === '';
}

/** js_periodic, once a minute: an upstream's events come to body filters, which cannot pass a ring on. */
function announce(): void {
  if (counts) {
    announceNotes();
  }
}

export default { follow, announce, allowed, header, body };
