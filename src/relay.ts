import { isEventStream } from './event-stream/media-type.ts';
import { createParser } from './event-stream/parse.ts';
import { sizeSetting } from './nginx/settings.ts';
import { cutOff } from './relay/cut.ts';
import { callUser, type Reason, type Relay, userFunctions } from './relay/functions.ts';

/** One relayed stream. */
interface Stream {
  state: 'relaying' | 'ended' | 'failed';
  /** A response to HEAD has none. */
  hasBody: boolean;
  /** Whether nginx flushes although the upstream sent nothing: it does so when that broke off. */
  isBroken: boolean;
  /** Bytes sent, without the protocol's framing. */
  bodySize: number;
  /** Takes a chunk of the upstream, and gives what goes out for it. */
  take(data: Buffer, isLast: boolean): { output: string; isOver: boolean; error?: Error };
  /** Calls onEnd, unless that was done. */
  end(reason: Reason): void;
}

/**
 * Set by the header filter: a pooled context brings an old one. What cannot be relayed is `refused`;
 * `over` is what nginx is about to drop.
 */
let stream: Stream | 'refused' | 'over' | undefined;

/** js_header_filter: takes on an event stream; any other answer passes as it is. */
function header(r: NginxHTTPRequest): void {
  stream = undefined;
  if (!isEventStream(r.headersOut['Content-Type'])) {
    return;
  }
  try {
    const started = startStream(r);
    stream = started;
    delete r.headersOut['Content-Length'];
    r.headersOut['X-Accel-Buffering'] = 'no';
    njs.on('exit', () => exit(started));
  } catch (error) {
    stream = 'refused';
    log(r, error as Error);
    r.status = 500;
    delete r.headersOut['Content-Type'];
    delete r.headersOut['Content-Encoding'];
    r.headersOut['Content-Length'] = '0';
  }
}

/** js_body_filter, buffer_type=buffer: an event goes out with the upstream's chunk that completed it. */
function body(r: NginxHTTPRequest, data: Buffer, flags: NginxHTTPSendBufferOptions): void {
  if (stream === 'over') {
    return;
  }
  if (!stream) {
    r.sendBuffer(data, flags);
    r.done();
  } else if (stream === 'refused') {
    refuse(r, !!flags.last);
  } else if (stream.state === 'relaying') {
    relay(r, stream, data, !!flags.last);
  } else if (stream.state === 'ended' && !flags.last && isSent(r, stream) && cutOff(r)) {
    stream = 'over'; // or nginx would read the upstream to its end, for nobody
  }
}

/**
 * Whether the whole response has been sent, so that to cut off now loses nothing of it.
 * Only HTTP/2 needs this and lets us know: over HTTP/1 the client closes the connection, and over
 * HTTP/3 $body_bytes_sent counts the framing, too.
 */
function isSent(r: NginxHTTPRequest, { bodySize }: Stream): boolean {
  return r.httpVersion === '2.0' && Number(r.variables.body_bytes_sent) >= bodySize;
}

/** Ends the answer that the header filter has begun. */
function refuse(r: NginxHTTPRequest, isLast: boolean): void {
  stream = 'over';
  r.sendBuffer('', { last: true, flush: true });
  if (!isLast) {
    cutOff(r);
  }
}

function relay(r: NginxHTTPRequest, stream: Stream, data: Buffer, isLast: boolean): void {
  // The first call may be without data, too: nginx flushes the header.
  stream.isBroken = stream.hasBody && data.length === 0 && !isLast;
  stream.hasBody = true;
  const { output, isOver, error } = stream.take(data, isLast);
  if (error) {
    stream.state = 'failed';
    fail(r, output, isLast, error);
  } else if (output !== '' || isOver) {
    stream.state = isOver ? 'ended' : 'relaying';
    stream.bodySize += Buffer.byteLength(output);
    r.sendBuffer(output, { last: isOver, flush: true });
  }
}

/** Sends what there is, and leaves the response without its end, so that a client can tell. */
function fail(r: NginxHTTPRequest, output: string, isLast: boolean, error: Error): void {
  // After the upstream's last chunk nginx closes by itself.
  if (!isLast && !cutOff(r)) {
    throw withoutStack(`sse: relay: ${error.message}`);
  }
  log(r, error);
  if (output !== '') {
    r.sendBuffer(output, { last: false, flush: true });
  }
}

/** njs.on('exit'): the request is over, in whichever way, and nothing can be sent any more. */
function exit(stream: Stream): void {
  if (stream.hasBody) {
    stream.end(stream.state === 'failed' ? 'failed' : stream.isBroken ? 'upstream' : 'client');
  }
}

function startStream(r: NginxHTTPRequest): Stream {
  const largest = sizeSetting(r, 'sse_max_event', 1048576, 64 * 1048576);
  const { onEvent, onEnd } = userFunctions();
  const encoding = r.headersOut['Content-Encoding'];
  if (encoding && encoding !== 'identity') {
    throw new Error(`the upstream compressed its event stream (${encoding}): it cannot be read`);
  }
  const relay: Relay = {
    state: {},
    end: () => {
      isEnding = true;
    },
  };
  let isEnding = false;
  /** relay.end() was called, and what its caller returned was taken. */
  let hasEnded = false;
  let isOnEndDue = onEnd !== undefined;
  let output = '';
  const parser = createParser(
    (event) => {
      if (!hasEnded) {
        output += callUser('onEvent', () => onEvent(event, r, relay));
        hasEnded = isEnding;
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

  return { state: 'relaying', hasBody: false, isBroken: false, bodySize: 0, take, end };

  function take(data: Buffer, isLast: boolean): ReturnType<Stream['take']> {
    output = '';
    try {
      parse(data);
      if (hasEnded || isLast) {
        output += callOnEnd(hasEnded ? 'ended' : 'complete');
      }
      return { output, isOver: hasEnded || isLast };
    } catch (error) {
      return { output, isOver: true, error: error as Error };
    }
  }

  function parse(data: Buffer): void {
    try {
      parser.feed(data);
    } catch (error) {
      // What exceeds a limit behind the end does not matter any more.
      if (!hasEnded) {
        throw error;
      }
    }
  }

  function callOnEnd(reason: Reason): string {
    if (!onEnd || !isOnEndDue) {
      return '';
    }
    isOnEndDue = false;
    return callUser('onEnd', () => onEnd(r, relay, reason));
  }

  function end(reason: Reason): void {
    try {
      callOnEnd(reason);
    } catch (error) {
      log(r, error as Error);
    }
  }
}

function log(r: NginxHTTPRequest, error: Error): void {
  r.error(`sse: relay: ${error.message}`);
}

/** So that njs logs it in one line. */
function withoutStack(message: string): Error {
  const error = new Error(message);
  error.stack = '';
  return error;
}

export default { header, body };
