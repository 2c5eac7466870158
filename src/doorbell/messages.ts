/** Of the length that precedes a message over TCP (RFC 1035, section 4.2.2), in bytes. */
const PREFIX = 2;
/** Of a message's id, in bytes. */
const ID = 2;
/** So many messages are heard in one go, and the next ones so many milliseconds later. */
const AT_ONCE = 25;
const PAUSE = 1;

export interface Messages {
  receive(data: Buffer): void;
  /** What has been received is heard at once. */
  end(): void;
}

/**
 * Takes messages over TCP out of the portions in which they come. A few at a time: nginx's resolver repeats in one go what it was
 * asked in one second, and nobody is woken meanwhile.
 *
 * @param hear gets all of a message but its id, as a text, and its id.
 * @param pause is called when some have been heard.
 */
export function createMessages(hear: (text: string, id: number) => void, pause: () => void): Messages {
  let rest = Buffer.alloc(0);
  let timer: ReturnType<typeof setTimeout> | undefined;

  return { receive, end };

  function receive(data: Buffer): void {
    // In any case a copy: njs uses the memory of what it hands over again.
    rest = Buffer.concat([rest, data]);
    if (timer === undefined) {
      take(AT_ONCE);
    }
  }

  function goOn(): void {
    timer = undefined;
    take(AT_ONCE);
  }

  function take(atMost: number): void {
    let at = 0;
    for (let heard = 0; ; heard++) {
      const start = at + PREFIX;
      const end = start + rest[at]! * 256 + rest[at + 1]!;
      // Not so, either, where even the length has not come.
      if (!(end <= rest.length)) {
        break;
      }
      if (heard === atMost) {
        timer = setTimeout(goOn, PAUSE);
        break;
      }
      hear(rest.toString('utf8', start + ID, end), rest[start]! * 256 + rest[start + 1]!);
      at = end;
    }
    rest = rest.subarray(at);
    pause();
  }

  function end(): void {
    if (timer !== undefined) {
      clearTimeout(timer);
      timer = undefined;
    }
    take(Infinity);
  }
}
