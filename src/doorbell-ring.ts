import { LENGTH, notFound, parseQuestion } from './doorbell/dns.ts';
import { parseRing, setNumber } from './doorbell/numbers.ts';

const FLUSH = { flush: true };

/**
 * js_filter of a stream server, `listen ... udp`: passes `<bell>-<number>.ring.sse` on to its upstream, which is every
 * session of doorbell.ts, and answers it.
 */
function ring(s: NginxStreamRequest): void {
  s.on('upstream', (data) => {
    const message = data as Buffer;
    const question = parseQuestion(message);
    const rung = question && parseRing(question.name);
    if (rung) {
      setNumber(rung);
      s.sendUpstream(question.name.padEnd(LENGTH), FLUSH);
      s.sendDownstream(notFound(message, question.end), FLUSH);
    }
  });
}

export default { ring };
