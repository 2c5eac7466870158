import { isEventStream } from './event-stream/media-type.ts';
import { createParser } from './event-stream/parse.ts';
import { fitsOneLine, type ServerEvent, serialize } from './event-stream/serialize.ts';
import { sizeSetting } from './nginx/settings.ts';

/** What a relay's functions get beside the event and the request. */
export interface Relay {
  /** Yours, for this one connection. (Module scope would be shared with others.) */
  state: Record<string, unknown>;
  /** Ends the response after what the function returns; the rest of the upstream's stream is dropped. */
  end(): void;
}

type Result = ServerEvent | ServerEvent[] | null | undefined;

/** The user's module, which the location imports as `relay`. */
export interface RelayModule {
  /** Gets each event. What it returns is sent instead: an event, several, or nothing. */
  onEvent(event: ServerEvent, r: NginxHTTPRequest, relay: Relay): Result;
  /** If there is one: gets called when the stream ends, by itself or by `end()`; what it returns is sent last. */
  onEnd?(r: NginxHTTPRequest, relay: Relay): Result;
}

/** Takes a chunk of the upstream, and gives what goes out for it. */
type Relaying = (data: Buffer, isLast: boolean) => { output: string; isOver: boolean; error?: Error };

/** Both are set by the header filter: a pooled context brings old values. */
let relaying: Relaying | undefined;
let isOver = false;

/** js_header_filter: takes on an event stream; any other answer passes as it is. */
function header(r: NginxHTTPRequest): void {
  const isStream = isEventStream(r.headersOut['Content-Type']);
  relaying = isStream ? startRelaying(r) : undefined;
  isOver = false;
  if (isStream) {
    delete r.headersOut['Content-Length'];
    r.headersOut['X-Accel-Buffering'] = 'no';
  }
}

/** js_body_filter, buffer_type=buffer: an event goes out with the upstream's chunk that completed it. */
function body(r: NginxHTTPRequest, data: Buffer, flags: NginxHTTPSendBufferOptions): void {
  if (!relaying) {
    r.sendBuffer(data, flags);
    r.done();
    return;
  }
  if (isOver) {
    return;
  }
  const { output, isOver: isLast, error } = relaying(data, !!flags.last);
  isOver = isLast;
  if (error) {
    r.error(`sse: relay: ${error.message}\n${error.stack}`);
  }
  if (output !== '' || isOver) {
    r.sendBuffer(output, { last: isOver, flush: true });
  }
}

function startRelaying(r: NginxHTTPRequest): Relaying {
  const largest = sizeSetting(r, 'sse_max_event', 1048576, 64 * 1048576);
  const { onEvent, onEnd } = (globalThis as unknown as { relay: RelayModule }).relay;
  const relay: Relay = {
    state: {},
    end: () => {
      hasEnded = true;
    },
  };
  let hasEnded = false;
  let output = '';
  const parser = createParser(
    (event) => {
      if (!hasEnded) {
        send(onEvent(event, r, relay));
      }
    },
    () => {},
    { line: largest + 16, event: largest },
    ({ id, retry }) => {
      // No event, but with an effect: a reconnection time, or an id to resume from.
      if (!hasEnded && (id !== undefined || retry !== undefined)) {
        output +=
          (id === undefined ? '' : `id: ${id}\n`) + (retry === undefined ? '\n' : `retry: ${retry}\n\n`);
      }
    },
    (comment) => {
      // The upstream's heartbeat keeps our client's connection alive, too.
      if (!hasEnded) {
        output += `${comment}\n\n`;
      }
    },
  );

  return (data, isLast) => {
    output = '';
    try {
      parser.feed(data);
      if ((isLast || hasEnded) && onEnd) {
        send(onEnd(r, relay));
      }
    } catch (error) {
      return { output, isOver: true, error: error as Error };
    }
    return { output, isOver: isLast || hasEnded };
  };

  function send(result: Result): void {
    const events = Array.isArray(result) ? result : result ? [result] : [];
    for (const event of events) {
      if (!fitsOneLine(`${event.id ?? ''}${event.type ?? ''}`)) {
        throw new TypeError('an id or an event type cannot have NUL, CR or LF');
      }
      output += serialize(event);
    }
  }
}

export default { header, body };
