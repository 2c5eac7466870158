/** Clients that show the bytes: an event stream as text, and the publisher's answers. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import type { Nginx } from './nginx.ts';

const DEADLINE = 30000;

export interface Stream {
  status: number;
  headers: IncomingMessage['headers'];
  /** Everything received so far. */
  text: string;
  /** The events in it, as a standard parser sees them, without `sse-start`. */
  events: EventSourceMessage[];
  /** What a client would resume with; '' if it has received no event. */
  lastEventId: string;
  /** True once the server has ended the response. */
  ended: boolean;
  /** True once the connection is gone, in whichever way. */
  closed: boolean;
  /** Waits until a condition holds, which is looked at whenever something comes. */
  until(condition: (stream: Stream) => boolean): Promise<void>;
  /** Waits for that many events. */
  untilEvents(count: number): Promise<EventSourceMessage[]>;
  /** Leaves. */
  leave(): void;
}

/** Opens a GET request on a connection of its own and resolves with its header. */
export function open(nginx: Nginx, path: string, headers: Record<string, string> = {}): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${nginx.url}${path}`, { headers, agent: false }, (incoming) =>
      resolve(read(outgoing, incoming)),
    );
    outgoing.once('error', reject);
    outgoing.end();
  });
}

function read(outgoing: ClientRequest, incoming: IncomingMessage): Stream {
  const waiting = new Set<() => void>();
  const stream: Stream = {
    status: incoming.statusCode!,
    headers: incoming.headers,
    text: '',
    events: [],
    lastEventId: '',
    ended: false,
    closed: false,
    until: (condition) =>
      waitFor(
        waiting,
        () => condition(stream),
        () => stream.text,
      ),
    untilEvents: async (count) => {
      await stream.until(() => stream.events.length >= count);
      return stream.events;
    },
    leave: () => outgoing.destroy(),
  };
  const parser = createParser({
    onEvent: (event) => {
      stream.lastEventId = event.id ?? stream.lastEventId;
      if (event.event !== 'sse-start') {
        stream.events.push(event);
      }
    },
  });
  const wake = () => {
    for (const look of waiting) {
      look();
    }
  };
  incoming.setEncoding('utf8');
  incoming.on('data', (chunk: string) => {
    stream.text += chunk;
    parser.feed(chunk);
    wake();
  });
  incoming.on('error', () => {});
  incoming.on('close', () => {
    stream.closed = true;
    wake();
  });
  incoming.on('end', () => {
    stream.ended = true;
    wake();
  });
  return stream;
}

function waitFor(waiting: Set<() => void>, condition: () => boolean, describe: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      waiting.delete(look);
      reject(new Error(`waited in vain for ${condition}; received: ${describe().slice(-2000)}`));
    };
    let timer = setTimeout(giveUp, DEADLINE);
    const look = () => {
      clearTimeout(timer);
      if (condition()) {
        waiting.delete(look);
        resolve();
      } else {
        // As long as something comes, a slow machine is no failure.
        timer = setTimeout(giveUp, DEADLINE);
      }
    };
    waiting.add(look);
    look();
  });
}

/** Polls a condition on the server until it holds. */
export async function eventually<T>(look: () => Promise<T>, condition: (value: T) => boolean): Promise<T> {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const value = await look();
    if (condition(value)) {
      return value;
    }
    if (Date.now() > end) {
      throw new Error(`waited in vain for ${condition}; the last value is ${JSON.stringify(value)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface State {
  channel: string;
  id: string | null;
  subscribers: number;
  events: number;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  json: State & { error?: string; published?: number };
}

/** Sends a request to the publisher (or any other) location. */
export async function send(nginx: Nginx, path: string, init: RequestInit = {}): Promise<Answer> {
  const reply = await fetch(`${nginx.url}${path}`, init);
  const text = await reply.text();
  const isJson = text !== '' && reply.headers.get('content-type') === 'application/json';
  return { status: reply.status, headers: reply.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

/** Publishes an event and returns the answer's state. */
export async function publish(
  nginx: Nginx,
  channel: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<State> {
  const answer = await send(nginx, `/publish/${channel}`, { method: 'POST', body, headers });
  if (answer.status !== 201 && answer.status !== 202) {
    throw new Error(`publishing failed with ${answer.status}: ${answer.text}`);
  }
  return answer.json;
}

export async function subscribers(nginx: Nginx, channel: string): Promise<number> {
  const answer = await send(nginx, `/publish/${channel}`);
  return answer.status === 404 ? 0 : answer.json.subscribers;
}

/** Sends a request with one byte of body, and resets the connection at once: a close does that with SO_LINGER of 0. */
export async function sendAndReset(nginx: Nginx, request: string): Promise<void> {
  await nginx.sh(`perl -MSocket -e '
    socket(my $s, PF_INET, SOCK_STREAM, 0);
    connect($s, pack_sockaddr_in(8080, INADDR_LOOPBACK)) or die $!;
    setsockopt($s, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0));
    syswrite($s, "${request} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 1\\r\\n\\r\\nx");
    close($s);'`);
}
