import { createAnswered } from './doorbell/answered.ts';
import { createBells } from './doorbell/bells.ts';
import { idOf, parseQuestion, type Question, setId } from './doorbell/dns.ts';
import { parseRing } from './doorbell/numbers.ts';

/** So many answers fit into the buffer of the socket that asked, whose worker reads them when we are done. */
const AT_ONCE = 100;
/** In milliseconds. After 0 it would not read before the next portion. */
const PAUSE = 1;
/** nginx repeats each question every five seconds: so many are read only once. */
const KNOWN = 4000;

/**
 * js_filter of a stream server, `listen ... udp`: answers the questions by which requests wait for events
 * (docs/ARCHITECTURE.md, "Waiting"). All that a worker asks in one location comes from one socket, and so meets in one
 * session. From the session's upstream come the rings.
 */
function answer(s: NginxStreamRequest): void {
  const answered = createAnswered();
  const known = new Map<string, Question>();
  let due: Question[] = [];
  const bells = createBells<Question>((question) => {
    answered.add(keyOf(question.name, question.answer));
    due.push(question);
  });
  s.on('upstream', (data) => {
    const message = data as Buffer;
    const question = read(message);
    if (question && !answered.has(keyOf(question.name, message))) {
      setId(question.answer, idOf(message));
      sendAfter(() => bells.ask(question.name, question));
    }
  });
  s.on('downstream', (data) => {
    const ring = parseRing((data as Buffer).toString());
    if (ring) {
      sendAfter(() => bells.ring(ring.bell, ring.number));
    }
  });

  function read(message: Buffer): Question | undefined {
    const key = message.toString('utf8', 2);
    const question = known.get(key) ?? parseQuestion(message);
    if (question) {
      if (known.size >= KNOWN) {
        known.clear();
      }
      known.set(key, question);
    }
    return question;
  }

  function sendAfter(change: () => void): void {
    const isIdle = due.length === 0;
    change();
    if (isIdle) {
      send();
    }
  }

  function send(): void {
    for (const question of due.slice(0, AT_ONCE)) {
      s.sendDownstream(question.answer, { flush: true });
    }
    due = due.slice(AT_ONCE);
    if (due.length > 0) {
      setTimeout(send, PAUSE);
    }
  }
}

/** A repetition has the same id. */
function keyOf(name: string, message: Buffer): string {
  return `${idOf(message)} ${name}`;
}

export default { answer };
