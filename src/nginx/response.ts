import { timeSetting } from './settings.ts';

/** An open response of type `text/event-stream`. */
export interface EventStreamResponse {
  /** True once the client has left, `close` was called, or the request was HEAD. */
  closed: boolean;
  /** Sends text that is in the wire format. Returns false if the stream is closed. */
  write(text: string): boolean;
  /** Ends the response. An EventSource reconnects after its reconnection time. */
  close(): void;
}

/**
 * Starts an event stream, and keeps it alive: a comment goes out whenever nothing else did for `$sse_heartbeat`
 * (default 15s), which is also how a client that left is noticed. The client is told to reconnect after
 * `$sse_retry` (default 2s). To a HEAD request nothing but the header is sent.
 *
 * @throws SettingError for a wrong setting; nothing was sent then.
 */
export function openResponse(r: NginxHTTPRequest): EventStreamResponse {
  const response = { closed: false, write, close };
  const heartbeat = timeSetting(r, 'sse_heartbeat', 15000, 100);
  const retry = timeSetting(r, 'sse_retry', 2000, 1);
  let lastWrite: number;
  let timer: TimerHandle | undefined;

  sendHeader(r);
  if (r.method === 'HEAD') {
    close();
  }
  write(`retry: ${retry}\n\n`);
  later(beat, heartbeat);
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
    lastWrite = Date.now();
    return true;
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
    const wait = lastWrite + heartbeat - Date.now();
    if (wait > 0) {
      later(beat, wait);
    } else {
      write(':\n');
      later(probe, Math.min(heartbeat, 1000));
    }
  }

  /** The first write to a client that has left succeeds; a second one, after its reset has come, does not. */
  function probe(): void {
    write('\n');
    later(beat, heartbeat);
  }

  function later(next: () => void, ms: number): void {
    if (!response.closed) {
      timer = setTimeout(() => {
        timer = undefined;
        next();
      }, ms);
    }
  }
}

function sendHeader(r: NginxHTTPRequest): void {
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
}
