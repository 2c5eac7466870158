import { pollDelay } from './channel/wait.ts';
import {
  type ClientEvent,
  createInbox,
  isAlive,
  look,
  removeInbox,
  SHUTTING_DOWN,
  take,
} from './client/inbox.ts';
import type { ConnectRequest } from './client-connection.ts';
import { innerKey, randomKey } from './nginx/inner.ts';
import { pause } from './nginx/pause.ts';
import { isShuttingDown } from './nginx/title.ts';
import { backoff } from './upstream/backoff.ts';
import { resumeHeaders } from './upstream/last-event-id.ts';

export interface SSEOptions {
  /** Sent with the request. Not `Host`, nor those that belong to the connection. */
  headers?: Record<string, string>;
  /** How long to wait until the server has answered with its header, in milliseconds; 5000 by default. */
  connectTimeout?: number;
  /** How long the server may be silent, not even sending comments, in milliseconds; 10 days by default. */
  readlineTimeout?: number;
  /** Whether to connect again when the connection has ended or cannot be made; false by default. */
  reconnect?: boolean;
  /** Where the server with `include sse/client.conf;` listens, if `$sse_inner` was changed. */
  inner?: string;
}

const POLL = 20;
/** How often a handler that waits looks whether its worker shuts down, in milliseconds. */
const LOOK = 5000;
const DAY = 86400000;
/** These belong to the connection, or are our own. */
const NOT_TO_SEND = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|x-sse-.*)$/i;

/** All that are open in this request. */
const open = new Set<SSE>();

/**
 * A client for event streams, for handlers of your own, after lua-resty-sse: `connect`, `events`, `next`, `close`
 * and `error`. It needs `js_engine qjs;`, and a server with `include sse/client.conf;`.
 */
export default class SSE {
  /** What went wrong last; undefined while nothing has, and after `close()`. */
  error: string | undefined;

  #url: string;
  #options: SSEOptions;
  #lastEventId = '';
  #retry: number | undefined;
  #failures = 0;
  #inbox: string | undefined;
  #taken = 0;
  #events: SSEEvent[] = [];
  #closes = 0;

  /**
   * Never fails, and does not connect yet.
   * @param url an http or https URL.
   */
  constructor(url: string, options: SSEOptions = {}) {
    this.#url = url;
    this.#options = options;
  }

  /**
   * Connects, unless it is connected. `next` and `events` do that by themselves.
   * @returns true if the server has answered with an event stream; otherwise `error` tells why not.
   */
  async connect(): Promise<boolean> {
    if (this.#inbox) {
      return true;
    }
    this.error = undefined;
    const url = normalize(this.#url);
    if (!url) {
      return this.#fail(`not an http or https URL: ${this.#url}`);
    }
    const inbox = randomKey();
    try {
      this.#inbox = inbox;
      this.#taken = 0;
      createInbox(inbox, this.#lastEventId);
      open.add(this);
      njs.on('exit', closeAll);
      const problem = await this.#request({ inbox, url, headers: this.#headers() });
      return problem ? this.#fail(problem) : await this.#waitUntilOpen(inbox);
    } catch (error) {
      return this.#fail((error as Error).message);
    }
  }

  /** The next event; connects if need be. Undefined once there are no more: `error` tells why. */
  async next(): Promise<SSEEvent | undefined> {
    const closes = this.#closes;
    for (;;) {
      const event = this.#events.shift();
      if (event) {
        this.#lastEventId = event.id;
        return event;
      }
      const received = (await this.connect()) && (await this.#receive());
      if (closes !== this.#closes) {
        this.error = undefined; // closed meanwhile, which is no error
        return undefined;
      }
      if (received) {
        this.#failures = 0;
      } else if (!this.#options.reconnect || this.error === NO_CONTENT) {
        return undefined;
      } else {
        const isClosed = () => closes !== this.#closes;
        if (!(await pause(backoff(this.#failures, this.#retry, Math.random()), isClosed))) {
          this.error = isClosed() ? undefined : SHUTTING_DOWN;
          return undefined;
        }
        this.#failures++;
      }
    }
  }

  /** The events, for `for await`, until `close()`. A loop that is left in another way does not close the connection. */
  async *events(): AsyncGenerator<SSEEvent, void> {
    const closes = this.#closes;
    while (closes === this.#closes) {
      const event = await this.next();
      if (!event) {
        return;
      }
      yield event;
    }
  }

  /**
   * Closes the connection; what was received but not taken is dropped. nginx leaves the server when it sends its
   * next byte.
   */
  close(): void {
    this.error = undefined;
    this.#closes++;
    this.#disconnect();
    this.#events = [];
  }

  #disconnect(): void {
    if (this.#inbox) {
      removeInbox(this.#inbox, this.#taken);
      this.#inbox = undefined;
      open.delete(this);
    }
  }

  #fail(error: string): false {
    this.#disconnect();
    this.error = error;
    return false;
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = { Accept: 'text/event-stream', 'Cache-Control': 'no-cache' };
    for (const [name, value] of Object.entries(this.#options.headers ?? {})) {
      if (!NOT_TO_SEND.test(name)) {
        headers[name] = value;
      }
    }
    return Object.assign(headers, resumeHeaders(this.#lastEventId));
  }

  /** Returns what went wrong, if anything. */
  async #request(request: ConnectRequest): Promise<string | undefined> {
    const inner = this.#options.inner ?? '127.0.0.1:8129';
    const missing = `no server with "include sse/client.conf;" answers on ${inner}`;
    try {
      const reply = await ngx.fetch(`http://${inner}/.sse-connect`, {
        method: 'POST',
        headers: { Host: 'sse-client', 'X-SSE-Client-Key': innerKey() },
        body: JSON.stringify(request),
      });
      return reply.status === 202 ? undefined : `${missing} (status ${reply.status})`;
    } catch (error) {
      return `${missing} (${(error as Error).message})`;
    }
  }

  async #waitUntilOpen(inbox: string): Promise<boolean> {
    const timeout = this.#options.connectTimeout ?? 5000;
    const started = Date.now();
    for (;;) {
      const connection = look(inbox);
      if (connection?.open) {
        return true;
      }
      if (!connection || connection.ended !== undefined) {
        return this.#fail(connection?.ended ?? 'closed');
      }
      if (Date.now() - started >= timeout) {
        return this.#fail('connect timeout');
      }
      await sleep(Math.min(POLL, timeout));
    }
  }

  /** Waits until there are events; false if the connection has ended. */
  async #receive(): Promise<boolean> {
    const timeout = this.#options.readlineTimeout ?? 10 * DAY;
    const started = Date.now();
    let looked = started;
    while (this.#inbox) {
      const now = Date.now();
      const connection = look(this.#inbox);
      if (!connection) {
        return this.#fail('closed');
      }
      this.#retry = connection.retry;
      if (this.#taken < connection.last) {
        return this.#takeAll(this.#inbox, connection.last);
      }
      // All that came was taken, so it also counts what came without an event.
      this.#lastEventId = connection.lastEventId;
      if (connection.ended !== undefined) {
        return this.#fail(connection.ended);
      }
      if (now - connection.at >= timeout) {
        return this.#fail('read timeout');
      }
      if (now - looked >= LOOK) {
        looked = now;
        if (isShuttingDown('self')) {
          return this.#fail(SHUTTING_DOWN);
        }
      }
      if (!isAlive(this.#inbox)) {
        return this.#fail('closed');
      }
      await sleep(Math.min(timeout, pollDelay(POLL, now - started)));
    }
    return false;
  }

  #takeAll(inbox: string, last: number): boolean {
    while (this.#taken < last) {
      const events = take(inbox, this.#taken + 1);
      if (!events) {
        return this.#events.length > 0 || this.#fail('events that were not taken for an hour are gone');
      }
      this.#taken++;
      this.#events.push(...events.map((event) => new SSEEvent(event)));
    }
    return true;
  }
}

const NO_CONTENT = 'bad response status code: 204';

export class SSEEvent implements ClientEvent {
  id: string;
  type: string;
  data: string;
  retry: number | undefined;

  constructor({ id, type, data, retry }: ClientEvent) {
    this.id = id;
    this.type = type;
    this.data = data;
    this.retry = retry;
  }

  /** lua-resty-sse's name for `type`. */
  get event(): string {
    return this.type;
  }
}

const URL_PARTS =
  /^(https?:\/\/(?:[^\s/?#@[\]\\]+|\[[0-9a-f:.]+\](?::[0-9]+)?))(\/[^\s?#]*)?(\?[^\s#]*)?(?:#\S*)?$/i;

/** The URL as nginx's proxy wants it: with a path, without a fragment, in ASCII; undefined if it is none. */
function normalize(url: string): string | undefined {
  const parts = URL_PARTS.exec(url);
  return parts
    ? `${parts[1]}${parts[2] ?? '/'}${parts[3] ?? ''}`.replace(/[^\x21-\x7e]+/g, encodeURIComponent)
    : undefined;
}

function closeAll(): void {
  for (const sse of open) {
    sse.close();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
