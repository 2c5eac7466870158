import { idOf, notFoundOverTcp, parseQuestion } from './doorbell/dns.ts';
import { socketOf, takeWaits } from './doorbell/waits.ts';
import { isShuttingDown } from './nginx/title.ts';

/** How often to look whether the worker whose resolver that is shuts down, in milliseconds. */
const POLL = 250;
/** nginx counts a timer from the time at which it last looked at the clock, so it may end early, by some of these milliseconds. */
const EARLY = 25;
/**
 * So long after the shutdown was seen first, in milliseconds, nobody who is woken believes any more, without a look of his own, that his
 * worker serves (FRESH in subscriber.ts).
 */
const SETTLED = POLL - EARLY;
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
  /** Since when the worker is known to shut down; 0 if it is not. */
  let since = 0;
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

  /** Answers again and again: after a reload there are new workers, where somebody may still ask. */
  function look(): void {
    const now = Date.now();
    timer = setTimeout(look, untilNext());
    // The name begins with the worker's process id.
    if (since === 0 && isShuttingDown(introduced.split('-')[0]!)) {
      since = now;
    }
    if (since > 0 && now - since >= SETTLED) {
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
  const rest = POLL - (Date.now() % POLL);
  return rest > EARLY ? rest : rest + POLL;
}

/** js_preread of the server behind that: holds the connection until `preread_timeout` is over. Nothing is ever sent. */
function hold(s: NginxStreamRequest): void {
  s.on('upload', () => {});
}

export default { release, hold };
