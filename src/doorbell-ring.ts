import { parseQuestion } from './doorbell/dns.ts';
import { parseRing, setNumber } from './doorbell/numbers.ts';

/**
 * js_filter of a stream server, `listen ... udp`: answers `<bell>-<number>.ring.sse`, and passes it on to its upstream,
 * which is every session of doorbell.ts.
 */
function ring(s: NginxStreamRequest): void {
  s.on('upstream', (data) => {
    const question = parseQuestion(data as Buffer);
    const rung = question && parseRing(question.name);
    if (rung) {
      setNumber(rung);
      // The longest first: qjs keeps its buffer for the others (doorbell/dns.ts).
      s.sendDownstream(question.answer, { flush: true });
      s.sendUpstream(question.name, { flush: true });
    }
  });
}

export default { ring };
