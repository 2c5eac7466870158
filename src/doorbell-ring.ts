import { notFound, parseQuestion } from './doorbell/dns.ts';
import { parseRing, passedRing, setNumber } from './doorbell/numbers.ts';
import { isShuttingDown } from './nginx/title.ts';

/** So many answers fit into the buffer of the socket that asked. */
const AT_ONCE = 100;
/** In milliseconds. Whoever is woken goes first. */
const AFTER_WAKING = 2;
/** nginx ends the session with this datagram, before a timer does: `proxy_requests` in doorbell-server.conf. */
const LAST = 1000;
const FLUSH = { flush: true };

/**
 * js_filter of a stream server, `listen ... udp`: passes `<bell>-<number>.ring.sse` on to its upstream, which is every
 * session of doorbell.ts, and answers it.
 */
function ring(s: NginxStreamRequest): void {
  const mayWait = isShuttingDown('self') !== undefined;
  let answers: Buffer[] = [];
  let received = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  s.on('upstream', (data) => {
    const message = data as Buffer;
    const question = parseQuestion(message);
    const rung = question && parseRing(question.name);
    received++;
    if (rung) {
      setNumber(rung);
      s.sendUpstream(passedRing(rung), FLUSH);
      answers.push(notFound(message, question.end));
    }
    if (!mayWait || answers.length >= AT_ONCE || received >= LAST) {
      answer();
    } else if (rung && timer === undefined) {
      timer = setTimeout(answerLater, AFTER_WAKING);
    }
  });

  function answerLater(): void {
    timer = undefined;
    if (!isShuttingDown('self')) {
      answer();
    }
  }

  function answer(): void {
    if (timer !== undefined) {
      // nginx would log an error about a session that ends before its timer.
      clearTimeout(timer);
      timer = undefined;
    }
    const due = answers;
    answers = [];
    for (let i = 0; i < due.length; i++) {
      s.sendDownstream(due[i]!, FLUSH);
    }
  }
}

export default { ring };
