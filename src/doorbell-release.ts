import { idOf, notFoundOverTcp, parseQuestion } from './doorbell/dns.ts';
import { socketOf, takeWaits } from './doorbell/waits.ts';
import { isShuttingDown } from './nginx/title.ts';

/** How often to look whether the worker whose resolver that is shuts down, in milliseconds. */
const POLL = 250;
/** Of the length that precedes a message over TCP (RFC 1035, section 4.2.2), in bytes. */
const PREFIX = 2;
const FLUSH = { flush: true };

/**
 * js_filter of a stream server, `listen ...` for TCP: the connection of a resolver, which is introduced over it. When nginx shuts
 * its workers down it closes the sockets at which datagrams are received. This connection stays: all questions that are held are
 * answered over it.
 */
function release(s: NginxStreamRequest): void {
  let introduced = '';
  let wasShuttingDown = false;
  let timer: ReturnType<typeof setTimeout> | undefined = setTimeout(look, untilNext());

  s.on('upstream', (data, { last }) => {
    const message = (data as Buffer).subarray(PREFIX);
    const question = parseQuestion(message);
    if (question) {
      introduced = question.name;
      s.sendDownstream(notFoundOverTcp(question.name, idOf(message)), FLUSH);
    }
    stopIf(last);
  });
  s.on('downstream', (_, { last }) => {
    stopIf(last);
  });

  /**
   * Not the first time: who is woken has to find out, by himself, that his worker does not serve (channel/worker.ts). And again: after a
   * reload there are new workers, where somebody may still ask.
   */
  function look(): void {
    timer = setTimeout(look, untilNext());
    const isLate = wasShuttingDown;
    // The name begins with the worker's process id.
    wasShuttingDown = isShuttingDown(introduced.split('-')[0]!) === true;
    if (isLate) {
      const socket = socketOf(introduced);
      const waits = socket === undefined ? [] : takeWaits(socket);
      if (waits.length > 0) {
        s.sendDownstream(Buffer.concat(waits.map(({ name, id }) => notFoundOverTcp(name, id))), FLUSH);
      }
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
