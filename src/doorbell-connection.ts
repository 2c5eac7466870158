import { parseBells } from './doorbell/bells.ts';
import { notFoundOverTcp, parseQuestion } from './doorbell/dns.ts';
import { createMessages } from './doorbell/messages.ts';
import { isOver, type Ring } from './doorbell/numbers.ts';
import {
  CROSSING,
  HELLO,
  KEEP_ANSWERED,
  keepConnection,
  keepWait,
  keyOf,
  renewWait,
  sinceAnswered,
  socketOf,
  takeWait,
  waitsOf,
} from './doorbell/waits.ts';
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
/** nginx repeats each question every five seconds: so many are read only once. More there are only where many subscribers follow several channels. */
const KNOWN = 2000;
const FLUSH = { flush: true };

interface Asked {
  name: string;
  /** Undefined for an introduction. */
  bells: Ring[] | undefined;
  /** Where it is kept; '' before it was. */
  key: string;
}

/**
 * js_filter of a stream server, `listen ...` for TCP: the connection of a resolver, which is introduced over it, and then repeats
 * its questions over it. What rings is heard by the session of the resolver's datagrams (doorbell.ts), which answers. Here is answered
 * what that has missed; and all, when nginx shuts its workers down: it closes the sockets at which datagrams are received, but
 * this connection stays.
 */
function answer(s: NginxStreamRequest): void {
  let introduced = '';
  /** From which it sends datagrams; undefined before it is introduced. */
  let socket: string | undefined;
  /** What it has asked before that. */
  const early = new Map<Asked, number>();
  const answers: Buffer[] = [];
  let known = new Map<string, Asked>();
  let knownBefore = known;
  /** Since when the worker is known to shut down; 0 if it is not. */
  let since = 0;
  let timer: ReturnType<typeof setTimeout> | undefined = setTimeout(look, untilNext());
  const messages = createMessages(hear, send);

  s.on('upstream', (data, { last }) => {
    // What ends a connection may be no buffer at all.
    if (data.length > 0) {
      messages.receive(data as Buffer);
    }
    if (last) {
      stop();
    }
  });
  s.on('downstream', (_, { last }) => {
    if (last && timer !== undefined) {
      // The resolver will close the connection, and may have sent more before it does, which is heard.
      release(1);
      stop();
    }
  });

  function hear(text: string, id: number): void {
    const asked = known.get(text) ?? know(text, knownBefore.get(text) ?? parse(text));
    if (asked && !asked.bells) {
      greet(asked.name, id);
    } else if (asked && socket !== undefined) {
      hold(socket, asked, id, false);
    } else if (asked && early.get(asked) === id) {
      // The resolver of a worker that shuts down is introduced no more.
      answers.push(notFoundOverTcp({ name: asked.name, id }));
    } else if (asked && early.size < KNOWN) {
      early.set(asked, id);
    }
  }

  function know(text: string, asked: Asked | undefined): Asked | undefined {
    if (asked) {
      if (known.size >= KNOWN) {
        knownBefore = known;
        known = new Map();
      }
      known.set(text, asked);
    }
    return asked;
  }

  function greet(name: string, id: number): void {
    const before = socket;
    introduced = name;
    socket = socketOf(name);
    if (socket !== before) {
      // What is known is known under the other socket.
      known = new Map();
      knownBefore = known;
    }
    answers.push(notFoundOverTcp({ name, id }));
    if (socket !== undefined) {
      keepConnection(socket);
      for (const [asked, id] of early) {
        hold(socket, asked, id, true);
      }
      early.clear();
    }
  }

  /** @param isLate whether it was asked a while ago, and may have been answered since. */
  function hold(socket: string, asked: Asked, id: number, isLate: boolean): void {
    const isDue = asked.bells!.some(isOver);
    const name = asked.name;
    asked.key = asked.key || keyOf(socket, name);
    if (!isDue && renewWait(asked.key, id)) {
      return;
    }
    const taken = isDue ? takeWait(socket, name) : undefined;
    if (taken !== undefined) {
      answers.push(notFoundOverTcp({ name, id: taken }));
    } else if (sinceAnswered(socket, { name, id }) > (isLate ? KEEP_ANSWERED : CROSSING)) {
      keepWait(socket, { name, id });
      if (isDue) {
        takeWait(socket, name);
        answers.push(notFoundOverTcp({ name, id }));
      }
    }
  }

  /** Answers again and again: after a reload there are new workers, where somebody may still ask. */
  function look(): void {
    const now = Date.now();
    timer = setTimeout(look, untilNext());
    // The name begins with the worker's process id.
    if (since === 0 && isShuttingDown(introduced.split('-')[0]!)) {
      since = now;
    }
    if (since > 0 && now - since >= SETTLED) {
      release(Infinity);
    }
  }

  /**
   * Answers what is held. One is enough before this connection ends: who waits anew lets the resolver connect again, before it repeats more
   * than it has room for while it connects (8 KB, beyond which it logs an error for each).
   */
  function release(atMost: number): void {
    // Whose name has not been heard for a while may be somebody else's now.
    const socket = socketOf(introduced);
    const waits = socket === undefined ? [] : waitsOf(socket);
    for (let i = 0; i < waits.length && answers.length < atMost; i++) {
      if (takeWait(socket!, waits[i]!.name) !== undefined) {
        answers.push(notFoundOverTcp(waits[i]!));
      }
    }
    send();
  }

  function send(): void {
    if (answers.length > 0) {
      const portion = Buffer.concat(answers);
      answers.length = 0;
      try {
        s.sendDownstream(portion, FLUSH);
      } catch {
        // The worker that asked was killed.
      }
    }
  }

  /** nginx would log an error about a session that ends before its timers. */
  function stop(): void {
    messages.end();
    if (timer !== undefined) {
      clearTimeout(timer);
      timer = undefined;
    }
  }
}

/** @param text all of a query but its id. */
function parse(text: string): Asked | undefined {
  const name = parseQuestion(Buffer.from(`id${text}`))?.name;
  const bells = name && parseBells(name);
  return name && (bells || name.endsWith(HELLO)) ? { name, bells: bells || undefined, key: '' } : undefined;
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

export default { answer, hold };
