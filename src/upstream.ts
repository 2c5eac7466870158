import { append } from './channel/append.ts';
import { findChannel, firstPlace, lastPlace, logKey } from './channel/channel.ts';
import { NOT_SET, parseChannels } from './channel/name.ts';
import { announceNotes } from './channel/ring.ts';
import { counts, isZoneFull, log, requireZones } from './channel/zones.ts';
import { isEventStream } from './event-stream/media-type.ts';
import { createParser } from './event-stream/parse.ts';
import { type ServerEvent, START } from './event-stream/serialize.ts';
import { innerKey } from './nginx/inner.ts';
import { pause } from './nginx/pause.ts';
import { countSetting, settingError, sizeSetting, timeSetting } from './nginx/settings.ts';
import { isShuttingDown } from './nginx/title.ts';
import { backoff } from './upstream/backoff.ts';
import { isLastOne, isOverdue, takeOver } from './upstream/handover.ts';
import { resumeHeaders } from './upstream/last-event-id.ts';
import { redirectTarget, type Target } from './upstream/redirect.ts';
import { loadState, saveState, stateZone, type UpstreamState } from './upstream/state.ts';
import { createUnsaved, type Entry } from './upstream/unsaved.ts';

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 307, 308];
const NO_CONTENT = 'no content';
/** So many connections are made before their memory is freed, which is about a megabyte then. */
const CONNECTIONS = 100;
/** In characters, of which the header may need nine bytes each. */
const LONGEST_PROBLEM = 500;
/** In milliseconds, where nginx's own server does not answer. */
const SOON = 1000;

/** Headers between nginx's requests to itself. */
const KEY = 'X-SSE-Key';
const NUMBER = 'X-SSE-Number';
const TROUBLE = 'X-SSE-Trouble';
const PROBLEM = 'X-SSE-Problem';
const HOST = 'X-SSE-Host';
const PORT = 'X-SSE-Port';

/** What one request of the loop hands on to the next. */
interface Trouble {
  /** Connections in a row that brought nothing. */
  failures: number;
  /** The problem that is in the error log already. */
  said: string;
}

/**
 * js_periodic: follows the upstream of its server for ever. What it allocates is never freed, and
 * each `ngx.fetch()` takes 11 KB. So the connections are made by a request to nginx itself, which
 * ends after some of them.
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
  let number = 0;
  let trouble = JSON.stringify({ failures: 0, said: '' });
  let said = '';
  let problem: string;

  do {
    try {
      number = number || (await takeOver(name));
      const headers = { Host: name, [KEY]: innerKey(), [NUMBER]: String(number) };
      const reply = await ngx.fetch(`http://${inner}/.sse-follow`, {
        headers: { ...headers, [TROUBLE]: encodeURIComponent(trouble) },
      });
      if (reply.status === 204 || isOverdue(name, number) || isShuttingDown('self')) {
        return;
      }
      problem = reply.status === 200 ? '' : `is refused by sse/inner.conf with status ${reply.status}`;
      trouble = reply.status === 200 ? await reply.text() : trouble;
    } catch (error) {
      problem = `cannot be followed through ${inner}: ${(error as Error).message}`;
    }
    said = say(name, problem, said);
  } while (await pause(problem === '' ? 0 : SOON));
}

/** js_content: connects to the upstream, again and again. 204 tells the loop that it is over. */
async function connections(r: NginxHTTPRequest): Promise<void> {
  const name = r.variables.server_name as string;
  const inner = r.variables.sse_inner as string;
  const number = Number(r.headersIn[NUMBER]);
  let { failures, said } = JSON.parse(decodeURIComponent(r.headersIn[TROUBLE] as string)) as Trouble;

  for (let count = 1; ; count++) {
    let problem: string;
    let retry: number | undefined;
    try {
      problem = await connect(inner, name, number);
      if (isOverdue(name, number)) {
        return reply(r, 204, '');
      }
      if (problem === NO_CONTENT) {
        ngx.log(ngx.WARN, `sse: upstream of "${name}" answered 204: not following it any more`);
        return reply(r, 204, '');
      }
      const state = loadState(name);
      failures = state.healthy ? 0 : failures + 1;
      retry = state.retry;
    } catch (error) {
      // Whatever it is: a rejection that nobody handles would end the loop without a word.
      problem = `cannot be followed: ${(error as Error).message}`;
      failures++;
    }
    if (isShuttingDown('self')) {
      break;
    }
    said = say(name, problem, said);
    const isOver = () => isOverdue(name, number);
    if (!(await pause(backoff(failures, retry, Math.random()), isOver)) || count === CONNECTIONS) {
      break;
    }
  }
  reply(r, 200, JSON.stringify({ failures, said }));
}

function reply(r: NginxHTTPRequest, status: number, text: string): void {
  try {
    r.return(status, text);
  } catch {
    // The loop's worker was killed. Its successor has another loop.
  }
}

/**
 * Logs a problem that is not the one that was said last, and returns it, short enough for a header.
 */
function say(name: string, problem: string, said: string): string {
  const short = problem.slice(0, LONGEST_PROBLEM);
  if (short !== '' && short !== said) {
    ngx.log(ngx.ERR, `sse: upstream of "${name}" ${short}; trying again until it works`);
  }
  return short;
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
  saveState(name, Object.assign(loadState(name), { healthy: false }));
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    let reply: Response;
    try {
      reply = await ngx.fetch(`http://${inner}/`, { headers: requestHeaders(name, number, target) });
    } catch (error) {
      return `cannot be reached through ${inner}: ${(error as Error).message}`;
    }
    const location = reply.headers.get('Location');
    if (REDIRECTS.indexOf(reply.status) < 0 || !location) {
      return reply.status === 204 ? NO_CONTENT : problemOf(reply);
    }
    const from = target && 'url' in target ? target.url : undefined;
    target = redirectTarget(location, reply.headers.get(HOST) || '', reply.headers.get(PORT) || '', from);
    if (!target) {
      return `redirects to "${location}", which is no URL to follow`;
    }
  }
  return `redirects more than ${MAX_REDIRECTS} times`;
}

async function problemOf(reply: Response): Promise<string> {
  if (reply.status === 200) {
    return reply.headers.get(PROBLEM) || (await reply.text());
  }
  return reply.headers.get(PROBLEM) || `is refused by nginx's own server with status ${reply.status}`;
}

function requestHeaders(name: string, number: number, target: Target | undefined): Record<string, string> {
  const headers: Record<string, string> = { Host: name, [KEY]: innerKey(), [NUMBER]: String(number) };
  Object.assign(headers, resumeHeaders(loadState(name).lastEventId));
  if (target && 'url' in target) {
    headers['X-SSE-URL'] = target.url;
  } else if (target) {
    headers['X-SSE-Path'] = target.path;
    headers['X-SSE-Args'] = target.args;
  }
  return headers;
}

/** js_set: 1 for a request of our own; anything else, or an error, keeps it out. */
function allowed(r: NginxHTTPRequest): string {
  return r.headersIn[KEY] === innerKey() ? '1' : '';
}

/**
 * What the two filters share for one request. Set by the header filter: a pooled context brings old
 * values.
 */
let connection: Connection | undefined;
let ended = false;

interface Connection {
  name: string;
  number: number;
  state: UpstreamState;
  /** @throws Error for what cannot be read or appended. */
  feed(data: Buffer): void;
}

/** js_header_filter: looks at what the upstream answered. */
function header(r: NginxHTTPRequest): void {
  connection = undefined;
  ended = false;
  const headers = r.headersOut;
  const type = headers['Content-Type'] || '';
  const encoding = headers['Content-Encoding'] || 'identity';
  delete headers['Content-Length'];
  headers[HOST] = r.variables.proxy_host || '';
  headers[PORT] = r.variables.proxy_port || '';
  if (r.status !== 200) {
    headers[PROBLEM] = `answers with status ${r.status}`;
  } else if (!isEventStream(type)) {
    headers[PROBLEM] = `answers with Content-Type "${type}", not text/event-stream`;
  } else if (encoding !== 'identity') {
    headers[PROBLEM] = `answers with Content-Encoding "${encoding}", which cannot be read`;
  } else {
    try {
      connection = open(r);
    } catch (error) {
      headers[PROBLEM] = `cannot be followed: ${(error as Error).message}`;
    }
  }
}

function open(r: NginxHTTPRequest): Connection {
  const name = r.variables.server_name as string;
  const setting = r.variables.sse_channel || '';
  const channel = channelOf(setting === NOT_SET ? name : setting);
  const limits = {
    history: countSetting(r, 'sse_history', 100, 1000000),
    ttl: timeSetting(r, 'sse_ttl', 3600000, 1000),
  };
  const largest = sizeSetting(r, 'sse_max_event', 1048576, 64 * 1048576);
  const state = loadState(name);
  const unsaved = createUnsaved(state.pending ? entriesSince(channel, state) : [], state.lastEventId);
  const parser = createParser(
    take,
    (ms) => {
      state.retry = ms;
    },
    { line: largest + 16, event: largest },
  );
  parser.lastEventId = state.lastEventId;
  return { name, number: Number(r.headersIn[NUMBER]), state, feed };

  function feed(data: Buffer): void {
    try {
      parser.feed(data);
      state.healthy = true;
    } finally {
      state.lastEventId = parser.lastEventId;
      saveState(name, state);
    }
  }

  /**
   * Whatever happens in here, the state in shared memory tells what is in the log, but for one
   * event.
   */
  function take(event: ServerEvent): void {
    if (event.type === START) {
      return; // Another njs-sse tells its position, which the parser keeps.
    }
    const wasAppended = unsaved.wasAppended(event);
    if (!unsaved.isExpected()) {
      state.pending = false;
    }
    if (wasAppended) {
      return;
    }
    if (!state.pending) {
      state.epoch = findChannel(channel) || '';
      state.place = lastPlace(state.epoch) || 0;
      state.pending = true;
    }
    state.lastEventId = parser.lastEventId;
    saveState(name, state);
    append(channel, event, limits);
    state.pending = unsaved.isExpected();
  }
}

function channelOf(setting: string): string {
  const channels = parseChannels(setting, '');
  if (!channels || channels.length > 1) {
    throw settingError(`$sse_channel, or else server_name, is "${setting}", but has to be one channel`);
  }
  return channels[0]!;
}

/** What was appended to the channel since the state was saved. */
function entriesSince(channel: string, state: UpstreamState): Entry[] {
  const entries: Entry[] = [];
  const epoch = findChannel(channel) || '';
  const last = lastPlace(epoch) || 0;
  // An epoch other than the state's began after it was saved.
  for (let place = epoch === state.epoch ? state.place + 1 : firstPlace(epoch); place <= last; place++) {
    const key = logKey(epoch, place);
    const text = log.get(key);
    if (text) {
      entries.push({ key, text });
    }
  }
  return entries;
}

/** js_body_filter: appends the events, and passes on nothing but what went wrong. */
function body(r: NginxHTTPRequest, data: Buffer, flags: NginxHTTPSendBufferOptions): void {
  const problem = connection ? receive(connection, data) : '';
  if ((problem !== undefined || flags.last) && !ended) {
    // Our own request is over then, whereupon nginx closes the connection to the upstream.
    ended = true;
    connection = undefined;
    r.sendBuffer(problem || '', { last: true });
  }
}

/** Returns undefined if the connection goes on; otherwise '', or what went wrong. */
function receive({ name, number, feed }: Connection, data: Buffer): string | undefined {
  if (isOverdue(name, number)) {
    return '';
  }
  try {
    feed(data);
    return isLastOne(name) ? '' : undefined;
  } catch (thrown) {
    const error = thrown as Error;
    if (isZoneFull(error)) {
      return 'sends more than shared memory holds: enlarge the zones in sse/zones.conf';
    }
    return `${error.name === 'SettingError' ? 'cannot be followed' : 'cannot be read'}: ${error.message}`;
  }
}

/**
 * js_periodic, once a minute: an upstream's events come to body filters, which cannot pass a ring
 * on.
 */
function announce(): void {
  try {
    if (counts) {
      announceNotes();
    }
  } catch {
    // The zone is full: subscribers that wait look by themselves at their heartbeat.
  }
}

export default { follow, announce, allowed, connections, header, body };
