import { createBells } from './doorbell/bells.ts';
import { idOf, notFound, notFoundFor, parseQuestion, setId, setTruncated } from './doorbell/dns.ts';
import { createMoving } from './doorbell/moving.ts';
import { readPassedRing } from './doorbell/numbers.ts';
import {
  CROSSING,
  HELLO,
  isConnected,
  isKept,
  keepSocket,
  keepWait,
  sinceAnswered,
  takeWait,
  waitsOf,
} from './doorbell/waits.ts';
import { isShuttingDown } from './nginx/title.ts';

/** So many answers fit into the buffer of the socket that asked, whose worker may be this one and reads them when we are done. */
const AT_ONCE = 100;
/** In milliseconds. After 0 it would not read before the next portion. */
const PAUSE = 1;
/** The worker has read meanwhile: no timer is needed, whose memory would be kept for as long as the session lasts. */
const AGES = 100;
/** nginx ends the session with this datagram: `proxy_requests` in doorbell-server.conf. */
const LAST = 100000;
const FLUSH = { flush: true };

interface Question {
  name: string;
  /** "No such name", with the id of the latest datagram. */
  answer: Buffer;
}

/**
 * js_filter of a stream server, `listen ... udp`: answers the questions by which requests wait for events
 * (docs/ARCHITECTURE.md, "Waiting"). All that a worker asks in one location comes from one socket, and so meets in one
 * session. From the session's upstream come the rings.
 */
function answer(s: NginxStreamRequest): void {
  /** To be answered. */
  const due: Question[] = [];
  let room = AT_ONCE;
  let pause: ReturnType<typeof setTimeout> | undefined;
  let refilled = 0;
  let greetings = 0;
  let received = 0;
  const socket = String(s.variables.remote_port);
  const bells = createBells<Question>({
    keep: ({ name, answer }) => keepWait(socket, { name, id: idOf(answer) }),
    isKept: ({ name }) => isKept(socket, name),
    release: (question) => {
      if (room > 0) {
        send(question);
      } else {
        due.push(question);
      }
    },
  });
  /** nginx then asks over TCP: it opens a connection, or uses the one that it has (doorbell-connection.ts). What stays here is repeated by one datagram each. */
  const moving = createMoving<Question>({
    isPossible: () => isConnected(socket),
    hasRoom: () => room > AT_ONCE / 2,
    isKept: ({ name }) => isKept(socket, name),
    move: ({ answer }) => {
      truncate(answer);
      count();
    },
    mayGoOn,
  });
  s.on('upstream', (data) => {
    received++;
    if (received === 1) {
      // A session before may have ended with its last datagram.
      takeOver();
    }
    hear(data as Buffer);
    if (received >= LAST) {
      end();
    }
  });
  s.on('downstream', (data) => {
    const ring = readPassedRing(data as Buffer);
    if (ring) {
      bells.ring(ring.bell, ring.number);
    }
  });

  function hear(message: Buffer): void {
    const question = parseQuestion(message);
    if (!question) {
      return;
    }
    const { name } = question;
    const answer = notFound(message, question.end);
    if (name.endsWith(HELLO)) {
      greet(name, answer);
    } else if (sinceAnswered(socket, { name, id: idOf(message) }) > CROSSING) {
      const asked = { name, answer };
      if (bells.ask(name, asked)) {
        moving.add(asked);
      }
      // Answers go first.
      moving.move();
    }
  }

  function greet(name: string, answer: Buffer): void {
    keepSocket(name, socket);
    truncate(answer);
    moving.move();
    moving.moveLater();
    if (greetings < 2) {
      // What is held over TCP may have been held by another worker, which crashed, and the connection with it: then it is known again by the next time.
      greetings++;
      takeOver();
    }
  }

  function takeOver(): void {
    for (const { name, id } of waitsOf(socket)) {
      bells.hold(name, { name, answer: notFoundFor({ name, id }) });
    }
  }

  /** What is not answered or moved yet is left to the next session. nginx would log an error about one that ends before its timers. */
  function end(): void {
    moving.end();
    if (pause !== undefined) {
      clearTimeout(pause);
      pause = undefined;
    }
  }

  function truncate(answer: Buffer): void {
    setTruncated(answer, true);
    s.sendDownstream(answer, FLUSH);
    setTruncated(answer, false);
  }

  function send({ name, answer }: Question): void {
    moving.delete(name);
    const id = takeWait(socket, name);
    if (id !== undefined) {
      setId(answer, id);
      s.sendDownstream(answer, FLUSH);
      count();
    }
  }

  /** nginx hands over all rings that have come in one go. */
  function count(): void {
    const now = Date.now();
    if (!pause && now - refilled > AGES) {
      refilled = now;
      room = AT_ONCE;
    }
    room--;
    if (room <= AT_ONCE / 2) {
      goOnLater();
    }
  }

  function goOnLater(): void {
    if (received < LAST) {
      pause ??= setTimeout(goOn, PAUSE);
    }
  }

  function goOn(): void {
    pause = undefined;
    room = AT_ONCE;
    if (mayGoOn()) {
      due.splice(0, AT_ONCE).forEach(send);
      moving.move();
      if (due.length > 0) {
        goOnLater();
      }
    }
  }

  function mayGoOn(): boolean {
    return !isShuttingDown('self');
  }
}

/** js_periodic, once: the scripts in http know by the environment that there is a doorbell. */
function check(): void {
  if (!process.env.NJS_SSE_DOORBELL) {
    ngx.log(
      ngx.ERR,
      'sse: the doorbell is not used: put "env NJS_SSE_DOORBELL=1;" next to stream and http; until then subscribers poll',
    );
  }
}

export default { answer, check };
