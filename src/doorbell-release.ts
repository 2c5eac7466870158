import { notFoundOverTcp, parseQuestion } from './doorbell/dns.ts';
import { socketOf, takeWaits } from './doorbell/waits.ts';
import { isShuttingDown } from './nginx/title.ts';

/** How often to look whether this worker shuts down, in milliseconds. */
const POLL = 100;
/**
 * So long after that, in milliseconds, every worker has marked itself (channel/pass.ts). Who is woken before would wait anew, and
 * there is nobody who would hear of it.
 */
const AFTER_MARK = 200;
/** Of the length that precedes a message over TCP (RFC 1035, section 4.2.2), in bytes. */
const PREFIX = 2;
const FLUSH = { flush: true };

/**
 * js_filter of a stream server, `listen ...` for TCP: a connection of the resolver of a worker's location, which names the worker.
 * When the workers shut down, their sockets for datagrams are closed. This connection is not: all that wait in the worker are
 * answered over it.
 */
function release(s: NginxStreamRequest): void {
  let worker = '';
  let timer: ReturnType<typeof setTimeout> | undefined = setTimeout(look, POLL);

  s.on('upstream', (data, { last }) => {
    worker = parseQuestion((data as Buffer).subarray(PREFIX))?.name ?? worker;
    stopIf(last);
  });
  s.on('downstream', (_, { last }) => {
    stopIf(last);
  });

  function look(): void {
    timer = isShuttingDown() ? setTimeout(answerAll, AFTER_MARK) : setTimeout(look, POLL);
  }

  function answerAll(): void {
    timer = undefined;
    const socket = socketOf(worker);
    const waits = socket === undefined ? [] : takeWaits(socket);
    if (waits.length > 0) {
      s.sendDownstream(Buffer.concat(waits.map(({ name, id }) => notFoundOverTcp(name, id))), FLUSH);
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

/** js_preread of the server behind that: holds the connection until `preread_timeout` is over. Nothing is ever sent. */
function hold(s: NginxStreamRequest): void {
  s.on('upload', () => {});
}

export default { release, hold };
