import { parseQuestion, refusedOverTcp } from './doorbell/dns.ts';
import { socketOf, takeWaits } from './doorbell/waits.ts';
import { isShuttingDown } from './nginx/title.ts';

/** How often to look whether this worker shuts down, in milliseconds. */
const POLL = 250;
/** Of the length that precedes a message over TCP (RFC 1035, section 4.2.2), in bytes. */
const PREFIX = 2;
const FLUSH = { flush: true };

/**
 * js_filter of a stream server, `listen ...` for TCP: a connection of the resolver of a worker's location, which names the worker.
 * When the workers shut down, their sockets for datagrams are closed. This connection is not: all that wait in the worker are
 * answered over it, in a way that tells them (channel/wait.ts).
 */
function release(s: NginxStreamRequest): void {
  let worker = '';
  let timer: ReturnType<typeof setTimeout> | undefined = setTimeout(look, untilNext());

  s.on('upstream', (data, { last }) => {
    worker = parseQuestion((data as Buffer).subarray(PREFIX))?.name ?? worker;
    stopIf(last);
  });
  s.on('downstream', (_, { last }) => {
    stopIf(last);
  });

  function look(): void {
    if (isShuttingDown()) {
      timer = undefined;
      answerAll();
    } else {
      timer = setTimeout(look, untilNext());
    }
  }

  function answerAll(): void {
    const socket = socketOf(worker);
    const waits = socket === undefined ? [] : takeWaits(socket);
    if (waits.length > 0) {
      s.sendDownstream(Buffer.concat(waits.map(({ name, id }) => refusedOverTcp(name, id))), FLUSH);
    }
  }

  /** nginx would log an error about a session that ends before its timer. */
  function stopIf(last: boolean | undefined): void {
    if (last && timer !== undefined) {
      clearTimeout(timer);
      timer = undefined;
    }
  }
}

/** All sessions of a worker look together, at multiples of the interval: that wakes the processor once. */
function untilNext(): number {
  return POLL - (Date.now() % POLL);
}

/** js_preread of the server behind that: holds the connection until `preread_timeout` is over. Nothing is ever sent. */
function hold(s: NginxStreamRequest): void {
  s.on('upload', () => {});
}

export default { release, hold };
