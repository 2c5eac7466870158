import { createBells } from './doorbell/bells.ts';
import { notFound, parseQuestion, type Question } from './doorbell/dns.ts';

/**
 * js_filter of a stream server, `listen ... udp`: answers the questions by which requests wait for events
 * (docs/ARCHITECTURE.md, "Waiting"). All that a worker asks in one location comes from one socket, and so meets in one session.
 */
function answer(s: NginxStreamRequest): void {
  const bells = createBells<Question>((question) => s.sendDownstream(notFound(question), { flush: true }));
  s.on('upstream', (data) => {
    const question = parseQuestion(data as Buffer);
    if (question) {
      bells.ask(question.name, question);
    }
  });
}

export default { answer };
