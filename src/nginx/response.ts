import { sizeSetting, timeSetting } from './settings.ts';

/** An open response of type `text/event-stream`. */
export interface EventStreamResponse {
  /** True once the client has left, `close` was called, or the request was HEAD. */
  closed: boolean;
  /** Sends text that is in the wire format. Returns false if the stream is closed. */
  write(text: string): boolean;
  /** How many bytes the client has not taken yet, about. */
  backlog(): number;
  /** Ends the response. An EventSource reconnects after its reconnection time. */
  close(): void;
}

/** The njs engine looks each part of a name up, for every subscriber in tables of its own, each time. */
const now = Date.now;
const byteLength = Buffer.byteLength;

/** Of a write of some hundred bytes, what chunked encoding adds. */
const CHUNK_HEADER = 6;
const LONGEST_PAUSE = 30000;
const PROBE_AFTER = 1000;

/**
 * Starts an event stream, and keeps it alive: a comment goes out whenever nothing else did for `$sse_heartbeat`
 * (default 15s), which is also how a client that left is noticed. The client is told to reconnect after
 * `$sse_retry` (default 2s). One that leaves more than `$sse_backlog` (default 1m) unread is cut off after a write,
 * and may resume. To a HEAD request nothing but the header is sent.
 *
 * @param onBeat gets called around every heartbeat, and at least twice a minute.
 * @throws SettingError for a wrong setting; nothing was sent then.
 */
export function openResponse(r: NginxHTTPRequest, onBeat: () => void): EventStreamResponse {
  const response = { closed: false, write, backlog, close };
  const heartbeat = timeSetting(r, 'sse_heartbeat', 15000, 100);
  const retry = timeSetting(r, 'sse_retry', 2000, 1);
  const largest = sizeSetting(r, 'sse_backlog', 1048576, 1073741824);
  const wait = Math.min(heartbeat, LONGEST_PAUSE);
  let queued = 0;
  let sent = 0;
  let lastWrite: number;
  let isProbe = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  r.status = 200;
  const headers = r.headersOut;
  headers['Content-Type'] = 'text/event-stream';
  headers['Cache-Control'] = 'no-cache, no-transform';
  headers['X-Accel-Buffering'] = 'no';
  try {
    r.sendHeader();
  } catch {
    // The client has left; the first write will find out, too.
  }
  if (r.method === 'HEAD') {
    close();
  }
  write(`retry: ${retry}\n\n`);
  if (!response.closed) {
    timer = setTimeout(beat, wait);
  }
  return response;

  function write(text: string): boolean {
    if (response.closed) {
      return false;
    }
    try {
      r.send(text);
    } catch {
      // The client has left, which is no error. nginx ends the request once nothing is pending.
      stop();
      return false;
    }
    lastWrite = now();
    queued += byteLength(text) + CHUNK_HEADER;
    if (queued - sent > largest && backlog() > largest) {
      close();
      return false;
    }
    return true;
  }

  function backlog(): number {
    sent = Number(r.variables.bytes_sent);
    return queued - sent;
  }

  function close(): void {
    if (!response.closed) {
      stop();
      try {
        r.finish();
      } catch {
        // The client has left. An exception that got out would keep the request, and its memory, for ever.
      }
    }
  }

  function stop(): void {
    response.closed = true;
    // njs numbers timers from 0, and clearTimeout throws for one that does not exist or is just running.
    if (timer !== undefined) {
      clearTimeout(timer);
    }
  }

  function beat(): void {
    const rest = lastWrite + heartbeat - now();
    const wasProbe = isProbe;
    timer = undefined;
    isProbe = !wasProbe && rest <= 0;
    if (wasProbe || isProbe) {
      // The first write to a client that has left succeeds; a second one, after its reset has come, does not.
      write(wasProbe ? '\n' : ':\n');
    }
    if (!wasProbe || response.closed) {
      onBeat();
    }
    if (!response.closed) {
      const next = isProbe ? PROBE_AFTER : wasProbe ? heartbeat : rest;
      timer = setTimeout(beat, next < wait ? next : wait);
    }
  }
}
