import { fitsOneLine, serialize, serializeComment } from './event-stream/serialize.ts';
import { guarded } from './nginx/answer.ts';
import { negotiate } from './nginx/negotiate.ts';
import { type EventStreamResponse, openResponse } from './nginx/response.ts';

/** What a handler sends. */
export interface OutgoingEvent {
  /** A string is sent as it is, anything else as JSON. */
  data?: unknown;
  /** The event's type; none means `message`. No NUL, CR or LF. */
  event?: string;
  /** Becomes the client's Last-Event-ID. No NUL, CR or LF. */
  id?: string | number;
  /** Reconnection time for the client, in milliseconds. */
  retry?: number;
}

/** An open response of type `text/event-stream`, with `closed` and `close()`. */
export interface EventStream extends EventStreamResponse {
  /**
   * Sends an event.
   * @returns false if the stream is closed.
   * @throws TypeError for an id or a type with NUL, CR or LF, or a retry that is no whole number of milliseconds.
   */
  send(event: OutgoingEvent): boolean;
  /** Sends a comment, which clients ignore. Returns false if the stream is closed. */
  comment(text: string): boolean;
}

/**
 * Answers a request with an event stream that a handler of your own feeds; `sse/stream.conf` sets up its
 * location. Heartbeats, reconnection time, CORS, HEAD and Accept are taken care of as for a subscriber
 * (`$sse_heartbeat`, `$sse_retry`, `$sse_origins`).
 *
 * @returns the stream; it is closed already where the request asked for none (HEAD, OPTIONS, ...).
 */
function openStream(r: NginxHTTPRequest): EventStream {
  let response: EventStreamResponse = {
    closed: true,
    write: () => false,
    backlog: () => 0,
    close: () => {},
    retry: 0,
  };
  guarded(r, () => {
    if (negotiate(r)) {
      response = openResponse(r, () => {}, Infinity, '');
    }
  });
  return Object.assign(response, {
    send: (event: OutgoingEvent) => response.write(serializeOutgoing(event)),
    comment: (text: string) => response.write(serializeComment(text)),
  });
}

function serializeOutgoing(event: OutgoingEvent): string {
  const id = event.id === undefined ? undefined : String(event.id);
  if (!fitsOneLine((id || '') + (event.event || ''))) {
    throw new TypeError('an id or an event type cannot have NUL, CR or LF');
  }
  if (event.retry !== undefined && !/^[0-9]+$/.test(String(event.retry))) {
    throw new TypeError('retry has to be a whole number of milliseconds');
  }
  const data = typeof event.data === 'string' ? event.data : JSON.stringify(event.data);
  return serialize({ id, type: event.event, retry: event.retry, data: data === undefined ? '' : data });
}

export default { openStream };
