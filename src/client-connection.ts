import { isZoneFull } from './channel/zones.ts';
import {
  type Connection,
  end,
  has,
  keepAlive,
  look,
  put,
  remove,
  SHUTTING_DOWN,
  update,
} from './client/inbox.ts';
import { isEventStream } from './event-stream/media-type.ts';
import { createParser, type Parser } from './event-stream/parse.ts';
import { START } from './event-stream/serialize.ts';
import { innerKey } from './nginx/inner.ts';
import { sizeSetting } from './nginx/settings.ts';
import { isShuttingDown } from './nginx/title.ts';
import { redirectTarget } from './upstream/redirect.ts';

/** What a client asks for: the body of its request to `/.sse-connect`. */
export interface ConnectRequest {
  inbox: string;
  url: string;
  headers: Record<string, string>;
}

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 307, 308];
const SAY_ALIVE = 6000;
/** What may wait for a handler that does not take it, in characters. */
const BACKLOG = 4194304;

const PROBLEM = 'X-SSE-Problem';
const FULL = 'shared memory is full: enlarge the zones in sse/zones.conf';

/** js_set: 1 for a request of our own; anything else, or an error, keeps it out. */
function allowed(r: NginxHTTPRequest): string {
  return r.headersIn['X-SSE-Client-Key'] === innerKey() ? '1' : '';
}

/**
 * js_content: opens the connection for a client, and stands for as long as it does. The client has its answer
 * before that: a request that waits for ngx.fetch cannot end, and the client's request has to end when it likes.
 */
async function connect(r: NginxHTTPRequest): Promise<void> {
  const { inbox, url, headers } = JSON.parse(r.requestText!) as ConnectRequest;
  let alive = setTimeout(sayAlive, SAY_ALIVE);
  r.return(202, 'connecting\n');
  const why = await follow(r.variables.sse_inner as string, inbox, url, headers);
  clearTimeout(alive);
  end(inbox, why);

  function sayAlive(): void {
    keepAlive(inbox);
    alive = setTimeout(sayAlive, SAY_ALIVE);
  }
}

/** Resolves when the connection has ended, with the reason. */
async function follow(
  inner: string,
  inbox: string,
  url: string,
  headers: Record<string, string>,
): Promise<string> {
  let target = url;
  let sent = headers;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const own = {
      Host: 'sse-client',
      'X-SSE-Client-Key': innerKey(),
      'X-SSE-URL': target,
      'X-SSE-Inbox': inbox,
    };
    let reply: Response;
    try {
      reply = await ngx.fetch(`http://${inner}/.sse-client`, { headers: { ...sent, ...own } });
    } catch (error) {
      const { message } = error as Error;
      return /closed/.test(message) ? 'closed' : message;
    }
    const location = reply.headers.get('Location');
    if (!REDIRECTS.includes(reply.status) || !location) {
      return reply.headers.get(PROBLEM) || 'closed';
    }
    const next = redirectTarget(location, '', '', target);
    if (!next || !('url' in next)) {
      return `redirected to "${location}", which is no URL to follow`;
    }
    // What the user's headers say is meant for the server that they were given for.
    sent = origin(next.url) === origin(target) ? sent : standardOnly(sent);
    target = next.url;
  }
  return `redirected more than ${MAX_REDIRECTS} times`;
}

function origin(url: string): string {
  return /^[^/]+\/\/[^/?]+/.exec(url)![0].toLowerCase();
}

function standardOnly(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => /^(accept|cache-control|last-event-id)$/i.test(name)),
  );
}

/** What the two filters share for one request. Set by the header filter: a pooled context brings old values. */
let receive: ((data: Buffer) => boolean) | undefined;
let ended = false;

/** js_header_filter: looks at what the server answered. */
function header(r: NginxHTTPRequest): void {
  receive = undefined;
  ended = false;
  const headers = r.headersOut;
  const type = headers['Content-Type'];
  delete headers['Content-Length'];
  if (!/[0-9]/.test(r.variables.upstream_header_time || '')) {
    headers[PROBLEM] = 'cannot be reached';
  } else if (r.status !== 200) {
    headers[PROBLEM] = `bad response status code: ${r.status}`;
  } else if (!isEventStream(type)) {
    headers[PROBLEM] = type
      ? `Content-Type not text/event-stream (${type})`
      : 'Content-Type missing in response';
  } else {
    receive = open(r);
  }
}

function open(r: NginxHTTPRequest): (data: Buffer) => boolean {
  const inbox = r.headersIn['X-SSE-Inbox'] as string;
  const largest = sizeSetting(r, 'sse_max_event', 1048576, 64 * 1048576);
  const connection: Connection = look(inbox) ?? { open: true, last: 0, at: 0, lastEventId: '' };
  connection.open = true;
  connection.at = Date.now();
  update(inbox, connection);
  return createReceiver(inbox, connection, largest);
}

/** Takes chunks; returns false if the connection has to end. */
function createReceiver(inbox: string, connection: Connection, largest: number): (data: Buffer) => boolean {
  let events: Parameters<typeof put>[2] = [];
  let oldest = 1;
  const sizes: number[] = [];
  const parser: Parser = createParser(
    ({ id, type, data, retry }) => {
      // Another njs-sse tells its position, which the parser keeps.
      if (type !== START) {
        events.push({ id: id ?? parser.lastEventId, type: type || 'message', data, retry });
      }
    },
    (ms) => {
      connection.retry = ms;
    },
    { line: largest + 16, event: largest },
  );
  parser.lastEventId = connection.lastEventId;

  return (data) => {
    events = [];
    try {
      parser.feed(data);
    } catch (error) {
      connection.ended = (error as Error).message;
    }
    connection.at = Date.now();
    const problem = deliver();
    if (problem === undefined) {
      // What is in the inbox is not asked for again, and all else is.
      connection.lastEventId = parser.lastEventId;
    }
    connection.ended ??= problem ?? (isShuttingDown('self') ? SHUTTING_DOWN : undefined);
    if (!tell()) {
      remove(inbox, connection.last);
      return false;
    }
    return connection.ended === undefined;
  };

  /** Puts the events of a chunk into the inbox; returns why not, if it does not. */
  function deliver(): string | undefined {
    if (events.length === 0) {
      return undefined;
    }
    while (sizes.length > 0 && !has(inbox, oldest)) {
      sizes.shift();
      oldest++;
    }
    if (sizes.reduce((sum, size) => sum + size, 0) > BACKLOG) {
      return 'the handler takes its events too slowly';
    }
    try {
      sizes.push(put(inbox, connection.last + 1, events));
      connection.last++;
      return undefined;
    } catch (error) {
      if (!isZoneFull(error)) {
        throw error;
      }
      return FULL;
    }
  }

  /** Returns false if the handler has left, or cannot be told of what it has received. */
  function tell(): boolean {
    try {
      return update(inbox, connection);
    } catch (error) {
      if (!isZoneFull(error)) {
        throw error;
      }
      return false;
    }
  }
}

/** js_body_filter: puts the events into the inbox, and passes nothing on. */
function body(r: NginxHTTPRequest, data: Buffer, flags: NginxHTTPSendBufferOptions): void {
  const isOver = !receive?.(data) || flags.last;
  if (isOver && !ended) {
    // Our own request is over then, whereupon nginx closes the connection to the server.
    ended = true;
    receive = undefined;
    r.sendBuffer('', { last: true });
  }
}

export default { connect, allowed, header, body };
