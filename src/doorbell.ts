import { createBells } from './doorbell/bells.ts';
import { idOf, notFound, parseQuestion, setId, truncate } from './doorbell/dns.ts';
import { readPassedRing } from './doorbell/numbers.ts';
import { isKept, keepSocket, keepWait, takeWait } from './doorbell/waits.ts';
import { isShuttingDown } from './nginx/title.ts';

/** So many answers fit into the buffer of the socket that asked, whose worker may be this one and reads them when we are done. */
const AT_ONCE = 100;
/** In milliseconds. After 0 it would not read before the next portion. */
const PAUSE = 1;
/** nginx repeats each question every five seconds: so many are read only once. */
const KNOWN = 2000;
/**
 * nginx repeats a question every 5 s until it is answered. A repetition that crosses the answer must not be answered again:
 * nginx would log an error. One that comes later than that, in milliseconds, means that the answer was lost.
 */
const CROSSING = 500;
/** By such a name a resolver is introduced (channel/pass.ts). */
const HELLO = '.hello.sse';
const FLUSH = { flush: true };

interface Question {
  name: string;
  /** "No such name", with the id of the latest query. */
  answer: Buffer;
  /** When it was answered, in milliseconds since 1970, and under which id. */
  answered: number;
  answeredId: number;
}

/**
 * js_filter of a stream server, `listen ... udp`: answers the questions by which requests wait for events
 * (docs/ARCHITECTURE.md, "Waiting"). All that a worker asks in one location comes from one socket, and so meets in one
 * session. From the session's upstream come the rings.
 */
function answer(s: NginxStreamRequest): void {
  let known = new Map<string, Question>();
  let knownBefore = known;
  const due: Question[] = [];
  let room = AT_ONCE;
  let pauses = false;
  const socket = String(s.variables.remote_port);
  const bells = createBells<Question>({
    keep: ({ name, answer }) => keepWait(socket, { name, id: idOf(answer) }),
    isKept: ({ name }) => isKept(socket, name),
    release: (question) => {
      question.answered = Date.now();
      question.answeredId = idOf(question.answer);
      if (room > 0) {
        send(question);
      } else {
        due.push(question);
      }
    },
  });
  s.on('upstream', (data) => {
    const message = data as Buffer;
    const question = read(message);
    if (question && !isCrossing(question, idOf(message))) {
      setId(question.answer, idOf(message));
      if (question.name.endsWith(HELLO)) {
        greet(question);
      } else {
        bells.ask(question.name, question);
      }
    }
  });
  s.on('downstream', (data) => {
    const ring = readPassedRing(data as Buffer);
    if (ring) {
      bells.ring(ring.bell, ring.number);
    }
  });

  /** nginx then asks over TCP: it opens a connection, or uses the one that it has (doorbell-release.ts). */
  function greet({ name, answer }: Question): void {
    keepSocket(name, socket);
    truncate(answer);
    s.sendDownstream(answer, FLUSH);
  }

  function read(message: Buffer): Question | undefined {
    const key = message.toString('utf8', 2);
    return known.get(key) ?? keep(key, knownBefore.get(key) ?? parse(message));
  }

  function keep(key: string, question: Question | undefined): Question | undefined {
    if (question) {
      if (known.size >= KNOWN) {
        knownBefore = known;
        known = new Map();
      }
      known.set(key, question);
    }
    return question;
  }

  function send({ name, answer }: Question): void {
    if (!takeWait(socket, name)) {
      return;
    }
    s.sendDownstream(answer, FLUSH);
    room--;
    // nginx hands over all rings that have come in one go.
    if (room < AT_ONCE / 2 && !pauses) {
      pauses = true;
      setTimeout(goOn, PAUSE);
    }
  }

  function goOn(): void {
    pauses = false;
    room = AT_ONCE;
    if (due.length > 0 && !isShuttingDown('self')) {
      due.splice(0, AT_ONCE).forEach(send);
    }
  }
}

/** Whether a query with that id is a repetition of one that was just answered. */
function isCrossing(question: Question, id: number): boolean {
  return question.answeredId === id && Date.now() - question.answered < CROSSING;
}

function parse(message: Buffer): Question | undefined {
  const question = parseQuestion(message);
  return (
    question && { name: question.name, answer: notFound(message, question.end), answered: 0, answeredId: -1 }
  );
}

export default { answer };
