/** As much of RFC 1035 as nginx's resolver needs: one question in, "no such name" out. */

const HEADER = 12;
/**
 * All that a session sends is as long as the longest answer: under qjs njs keeps the buffer of what it sends first, and cuts
 * what is longer into pieces that nginx cannot send as one datagram.
 */
export const LENGTH = HEADER + 255 + 4;
const TYPE_A = 1;
const CLASS_IN = 1;
/** An answer, recursion desired and available, no error but NXDOMAIN (RFC 1035, section 4.1.1). */
const NXDOMAIN = 0x8183;

export interface Question {
  /** In lower case, without the root's dot. */
  name: string;
  /** Where it ends in the message. */
  end: number;
}

/** Returns undefined for a message that is no query with one question for an address. */
export function parseQuestion(message: Buffer): Question | undefined {
  if (message.length < HEADER + 5 || message.readUInt16BE(2) & 0xf800 || message.readUInt16BE(4) !== 1) {
    return undefined;
  }
  const labels: string[] = [];
  let at = HEADER;
  while (at < message.length && message[at] !== 0) {
    const end = at + 1 + message[at]!;
    if (message[at]! > 63 || end >= message.length) {
      return undefined;
    }
    labels.push(message.subarray(at + 1, end).toString());
    at = end;
  }
  const end = at + 5;
  if (
    end > message.length ||
    message.readUInt16BE(at + 1) !== TYPE_A ||
    message.readUInt16BE(at + 3) !== CLASS_IN
  ) {
    return undefined;
  }
  return { name: labels.join('.').toLowerCase(), end };
}

export function idOf(message: Buffer): number {
  return message.readUInt16BE(0);
}

export function setId(message: Buffer, id: number): void {
  message.writeUInt16BE(id, 0);
}

/** "No such name", for a message whose question ends there. */
export function notFound(message: Buffer, end: number): Buffer {
  const answer = Buffer.alloc(LENGTH);
  message.copy(answer, 0, 0, end);
  answer.writeUInt16BE(NXDOMAIN, 2);
  // No answers, and nothing of what the query may have had beside its question.
  for (let count = 6; count < HEADER; count += 2) {
    answer.writeUInt16BE(0, count);
  }
  return answer;
}
