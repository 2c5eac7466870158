import { createAnswered } from './doorbell/answered.ts';
import { createBells } from './doorbell/bells.ts';
import { idOf, notFound, parseQuestion, setId } from './doorbell/dns.ts';
import { parseRing } from './doorbell/numbers.ts';

/** So many answers fit into the buffer of the socket that asked, whose worker may be this one and reads them when we are done. */
const AT_ONCE = 100;
/** In milliseconds. After 0 it would not read before the next portion. */
const PAUSE = 1;
/** nginx repeats each question every five seconds: so many are read only once. */
const KNOWN = 4000;

interface Question {
  name: string;
  /** "No such name". */
  answer: Buffer;
}

/**
 * js_filter of a stream server, `listen ... udp`: answers the questions by which requests wait for events
 * (docs/ARCHITECTURE.md, "Waiting"). All that a worker asks in one location comes from one socket, and so meets in one
 * session. From the session's upstream come the rings.
 */
function answer(s: NginxStreamRequest): void {
  const answered = createAnswered();
  const known = new Map<string, Question>();
  const due: Question[] = [];
  let room = AT_ONCE;
  let pauses = false;
  const bells = createBells<Question>((question) => {
    answered.add(question.name, idOf(question.answer));
    due.push(question);
  });
  s.on('upstream', (data) => {
    const message = data as Buffer;
    const question = read(message);
    if (question && !answered.has(question.name, idOf(message))) {
      setId(question.answer, idOf(message));
      bells.ask(question.name, question);
      send();
    }
  });
  s.on('downstream', (data) => {
    const ring = parseRing((data as Buffer).toString().trimEnd());
    if (ring) {
      bells.ring(ring.bell, ring.number);
      send();
    }
  });

  function read(message: Buffer): Question | undefined {
    const key = message.toString('utf8', 2);
    const question = known.get(key);
    if (question) {
      return question;
    }
    const parsed = parseQuestion(message);
    if (!parsed) {
      return undefined;
    }
    if (known.size >= KNOWN) {
      known.clear();
    }
    const fresh = { name: parsed.name, answer: notFound(message, parsed.end) };
    known.set(key, fresh);
    return fresh;
  }

  function send(): void {
    if (due.length === 0) {
      return;
    }
    for (const question of due.splice(0, room)) {
      s.sendDownstream(question.answer, { flush: true });
      room--;
    }
    // nginx hands over all rings that have come in one go.
    if (room < AT_ONCE / 2 && !pauses) {
      pauses = true;
      setTimeout(goOn, PAUSE);
    }
  }

  function goOn(): void {
    pauses = false;
    room = AT_ONCE;
    send();
  }
}

export default { answer };
