import { createParser } from './event-stream/parse.ts';
import { type ServerEvent, serialize } from './event-stream/serialize.ts';
import { sizeSetting } from './nginx/limits.ts';

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
type Relaying = (data: Buffer, isLast: boolean) => { output: string; isOver: boolean };

/** Both are set by the header filter: a pooled context brings old values. */
let relaying: Relaying | undefined;
let isOver = false;

/** js_header_filter: takes on an event stream; any other answer passes as it is. */
function header(r: NginxHTTPRequest): void {
  const isStream = /^text\/event-stream\s*(;|$)/i.test(r.headersOut['Content-Type'] || '');
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
  let output = '';
  try {
    const result = relaying(data, !!flags.last);
    output = result.output;
    isOver = result.isOver;
  } catch (thrown) {
    const error = thrown as Error;
    r.error(`sse: relay: ${error.message}\n${error.stack}`);
    isOver = true;
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
  let retry: number | undefined;
  const parser = createParser(
    (event) => {
      retry = undefined;
      if (!hasEnded) {
        send(onEvent(event, r, relay));
      }
    },
    (ms) => {
      retry = ms;
    },
    { line: largest + 16, event: largest },
  );

  return (data, isLast) => {
    output = '';
    parser.feed(data);
    if (retry !== undefined) {
      output += `retry: ${retry}\n\n`; // in a block without data, which is no event but has its effect
      retry = undefined;
    }
    if (output === '' && data[0] === COLON) {
      output = ':\n\n'; // the upstream's heartbeat keeps our client's connection alive, too
    }
    if ((isLast || hasEnded) && onEnd) {
      send(onEnd(r, relay));
    }
    return { output, isOver: isLast || hasEnded };
  };

  function send(result: Result): void {
    const events = Array.isArray(result) ? result : result ? [result] : [];
    output += events.map(serialize).join('');
  }
}

const COLON = 58;

export default { header, body };
