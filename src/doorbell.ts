import { createAnswered } from './doorbell/answered.ts';
import { createBells } from './doorbell/bells.ts';
import { notFound, parseQuestion, type Question } from './doorbell/dns.ts';
import { parseRing } from './doorbell/numbers.ts';

/** So many answers fit into the buffer of the socket that asked, whose worker reads them when we are done. */
const AT_ONCE = 100;
/** In milliseconds. After 0 it would not read before the next portion. */
const PAUSE = 1;

/**
 * js_filter of a stream server, `listen ... udp`: answers the questions by which requests wait for events
 * (docs/ARCHITECTURE.md, "Waiting"). All that a worker asks in one location comes from one socket, and so meets in one
 * session. From the session's upstream come the rings.
 */
function answer(s: NginxStreamRequest): void {
  const answered = createAnswered();
  let due: Question[] = [];
  const bells = createBells<Question>((question) => {
    answered.add(keyOf(question));
    due.push(question);
  });
  s.on('upstream', (data) => {
    const question = parseQuestion(data as Buffer);
    if (question && !answered.has(keyOf(question))) {
      sendAfter(() => bells.ask(question.name, question));
    }
  });
  s.on('downstream', (data) => {
    const ring = parseRing((data as Buffer).toString());
    if (ring) {
      sendAfter(() => bells.ring(ring.bell, ring.number));
    }
  });

  function sendAfter(change: () => void): void {
    const isIdle = due.length === 0;
    change();
    if (isIdle) {
      send();
    }
  }

  function send(): void {
    for (const question of due.slice(0, AT_ONCE)) {
      s.sendDownstream(notFound(question), { flush: true });
    }
    due = due.slice(AT_ONCE);
    if (due.length > 0) {
      setTimeout(send, PAUSE);
    }
  }
}

/** A repetition has the same id. */
function keyOf({ id, name }: Question): string {
  return `${id} ${name}`;
}

export default { answer };
