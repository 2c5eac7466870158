/**
 * As much of RFC 1035 as nginx's resolver needs: one question in, "no such name" out. All of it is on the way of every event
 * after a silence, and bytes are taken by their index because that is what both engines do fastest.
 */

const HEADER = 12;
/** What follows the name in a question: the root's label, type and class. */
const TRAILER = 5;
/**
 * All that a session sends is as long as the longest answer: under qjs njs keeps the buffer of what it sends first, and cuts
 * what is longer into pieces that nginx cannot send as one datagram.
 */
export const LENGTH = HEADER + 255 + 4;
const TYPE_A = 1;
const CLASS_IN = 1;

/** A question that is held. */
export interface Wait {
  name: string;
  id: number;
}

export interface Question {
  /** In lower case, without the root's dot. */
  name: string;
  /** Where it ends in the message. */
  end: number;
}

/** Returns undefined for a message that is no query with one question for an address of an ASCII name. */
export function parseQuestion(message: Buffer): Question | undefined {
  if (
    message.length < HEADER + TRAILER ||
    message[2]! & 0xf8 || // an answer, or no standard query
    message[4] !== 0 ||
    message[5] !== 1
  ) {
    return undefined;
  }
  const root = message.indexOf(0, HEADER);
  const end = root + TRAILER;
  if (
    root < 0 ||
    end > message.length ||
    message[root + 1] !== 0 ||
    message[root + 2] !== TYPE_A ||
    message[root + 3] !== 0 ||
    message[root + 4] !== CLASS_IN
  ) {
    return undefined;
  }
  const labels = message.toString('utf8', HEADER, root).toLowerCase();
  let name = '';
  let at = 0;
  while (at < labels.length) {
    const length = labels.charCodeAt(at);
    const next = at + 1 + length;
    if (length > 63 || next > labels.length) {
      return undefined;
    }
    name += (at > 0 ? '.' : '') + labels.slice(at + 1, next);
    at = next;
  }
  return at === root - HEADER ? { name, end } : undefined;
}

export function idOf(message: Buffer): number {
  return message[0]! * 256 + message[1]!;
}

export function setId(message: Buffer, id: number): void {
  message[0] = id >> 8;
  message[1] = id & 0xff;
}

/** "No such name", for a message whose question ends there. */
export function notFound(message: Buffer, end: number): Buffer {
  const answer = Buffer.alloc(LENGTH);
  message.copy(answer, 0, 0, end);
  // An answer, recursion desired and available, no error but NXDOMAIN (RFC 1035, section 4.1.1).
  answer[2] = 0x81;
  answer[3] = 0x83;
  // No answers, and nothing of what the query may have had beside its question.
  answer.fill(0, 6, HEADER);
  return answer;
}

/** Makes "truncated" of an answer, so that nginx asks again over TCP, or "no such name" of that (RFC 1035, section 4.1.1). */
export function setTruncated(answer: Buffer, isTruncated: boolean): void {
  answer[2] = isTruncated ? 0x83 : 0x81;
}

/** "No such name" as a message over TCP (RFC 1035, section 4.2.2). */
export function notFoundOverTcp(wait: Wait): Buffer {
  const labels = wait.name.split('.').map((label) => String.fromCharCode(label.length) + label);
  const question = Buffer.from(labels.join('') + '\0\0\x01\0\x01');
  const length = HEADER + question.length;
  const id = wait.id;
  const header = [length >> 8, length & 0xff, id >> 8, id & 0xff, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0];
  return Buffer.concat([Buffer.from(header), question]);
}

/** The same as a datagram. */
export function notFoundFor(wait: Wait): Buffer {
  const answer = Buffer.alloc(LENGTH);
  notFoundOverTcp(wait).copy(answer, 0, 2);
  return answer;
}
