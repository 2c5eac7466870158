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
  /** The client's reconnection time, `$sse_retry`, in milliseconds. */
  retry: number;
}

/** For a script that sends some of its text past `write`, because a call less counts there. */
export interface AccountedResponse extends EventStreamResponse {
  /** Such text counts as written now. */
  account(text: string): void;
  /** Called once, when the client has left more than `$sse_backlog` unread; closes the response if nothing else is set. */
  cutOff: () => void;
}

/** The njs engine looks each part of a name up, for every subscriber in tables of its own, each time. */
const now = Date.now;
const byteLength = Buffer.byteLength;

/** Of a write of some hundred bytes, what chunked encoding adds. */
const CHUNK_HEADER = 6;
/** Less than a window of leases (channel/subscribers.ts). */
const LONGEST_PAUSE = 45000;
/** TCP has sent a segment five times in these milliseconds. */
const LOST_AFTER = 5000;
/** How often a stream is looked after until its first heartbeat, in milliseconds: a page that is left soon should leave nothing behind. */
const YOUNG_INTERVAL = 5000;
/** Timers that end together, in milliseconds, find code and data of each other in the processor's caches. */
const TOGETHER = 100;

/**
 * Starts an event stream, and keeps it alive: whenever nothing else went out for `$sse_heartbeat` (default 45s), a
 * comment does. A client that left is noticed that way, because the first write after that succeeds and the second,
 * when its reset has come, does not; and one that vanished, by what became of TCP's congestion window. The
 * client is told to reconnect after `$sse_retry` (default 2s). One that leaves more than `$sse_backlog` (default 1m)
 * unread is cut off after a write, and may resume. To a HEAD request nothing but the header is sent.
 *
 * No blank line follows the reconnection time and the comments: clients that do not follow the standard take each for the end of
 * an event.
 *
 * @param onBeat gets called with every comment, at least every 45 seconds, when the client has left, and after `end`.
 * @param end in milliseconds since 1970.
 * @param opening what else is sent at once, in the wire format.
 * @throws SettingError for a wrong setting; nothing was sent then.
 */
export function openResponse(
  r: NginxHTTPRequest,
  onBeat: () => void,
  end: number,
  opening: string,
): AccountedResponse {
  const interval = timeSetting(r, 'sse_heartbeat', 45000, 100);
  const retry = timeSetting(r, 'sse_retry', 2000, 1);
  const largest = sizeSetting(r, 'sse_backlog', 1048576, 1073741824);
  const response = { closed: false, write, account, backlog, close, retry, cutOff: close };
  // nginx counts a timer from the time at which it last looked at the clock, so it may end early.
  const enough = interval - interval / 8;
  const wait = interval < LONGEST_PAUSE ? interval : LONGEST_PAUSE;
  const started = now();
  const variables = r.variables;
  let queued = 0;
  let isCutOff = false;
  let sent = 0;
  let lastWrite: number;
  let lastBeat = started;
  /** How often something has to go out. */
  let pace = interval > YOUNG_INTERVAL ? YOUNG_INTERVAL : interval;
  /** Since when the client has acknowledged nothing, at least; 0 if it has. */
  let stuckSince = 0;
  /** The round trip then. */
  let stuckAt = '';
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
  write('retry: ' + retry + '\n' + opening);
  if (!response.closed) {
    beatAfter(started);
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
    account(text);
    return !response.closed;
  }

  function account(text: string): void {
    lastWrite = now();
    queued += byteLength(text) + CHUNK_HEADER;
    if (!isCutOff && queued - sent > largest && backlog() > largest) {
      isCutOff = true;
      response.cutOff();
    }
  }

  function backlog(): number {
    sent = Number(variables.bytes_sent);
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
    const time = now();
    timer = undefined;
    if (isLost(time)) {
      close();
    } else if (time - lastWrite >= pace - pace / 8) {
      write(':\n');
    }
    // Not when all that is to be found out is whether the client is still there.
    if (response.closed || time - lastBeat >= wait - wait / 8 || time > end) {
      lastBeat = time;
      pace = interval;
      onBeat();
    }
    if (!response.closed) {
      beatAfter(time);
    }
  }

  /** One function for the first and all others: the njs engine makes each anew for each stream. */
  function beatAfter(time: number): void {
    const silence = time - lastWrite;
    const rest = pace - (silence < pace - pace / 8 ? silence : 0);
    const next = time + (rest < wait ? rest : wait);
    const together = interval > 8 * TOGETHER ? TOGETHER : 1;
    timer = setTimeout(beat, end >= time && end < next ? end + 1 - time : next - (next % together) - time);
  }

  /**
   * When TCP has sent something again after a timeout, its congestion window is one segment, until the client acknowledges
   * something, which is also a new measure of the round trip. Nothing else here tells that it has vanished: what is sent to it
   * is taken by the kernel for a quarter of an hour.
   */
  function isLost(time: number): boolean {
    if (variables.tcpinfo_snd_cwnd !== '1') {
      stuckSince = 0;
      return false;
    }
    const roundTrip = variables.tcpinfo_rtt + '-' + variables.tcpinfo_rttvar;
    if (stuckSince === 0 || roundTrip !== stuckAt) {
      stuckSince = lastWrite;
      stuckAt = roundTrip;
    }
    return time - stuckSince >= (enough < LOST_AFTER ? LOST_AFTER : enough);
  }
}
