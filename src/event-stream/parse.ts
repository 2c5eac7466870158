import type { ServerEvent } from './serialize.ts';

export interface Limits {
  /** Bytes that one line may have, without its end. */
  line: number;
  /** Characters that the data of one event may have. */
  event: number;
}

export interface Parser {
  /**
   * Takes the next bytes, cut wherever they happen to be cut. Buffers only a line that has not ended yet, and
   * holds no reference to the bytes afterwards.
   * @throws Error, whose message is one line, for a line or an event over its limit. The parser is then useless.
   */
  feed(bytes: Buffer): void;
  /** The standard's "last event ID buffer": what a client would send as Last-Event-ID. */
  lastEventId: string;
}

/**
 * Reads an event stream per the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream".
 *
 * @param onEvent gets each event. Its `id` is that of its own block, so undefined if the block has none; an id
 * with NUL is ignored, as the standard says, and a block without data is no event.
 * @param onRetry gets each reconnection time, in milliseconds.
 * @param onBare gets each block without data, at its end: no event, but its id and retry count.
 * @param onComment gets each line that is a comment, with its colon.
 */
export function createParser(
  onEvent: (event: ServerEvent) => void,
  onRetry: (ms: number) => void,
  limits: Limits,
  onBare?: (block: ServerEvent) => void,
  onComment?: (line: string) => void,
): Parser {
  const parser = { feed, lastEventId: '' };
  // A line that spans many chunks is joined once, when it ends: joining at each chunk would be quadratic.
  let pending: Buffer[] = [];
  let pendingLength = 0;
  let isStart = true;
  let afterCarriageReturn = false;
  let event: ServerEvent = { data: '' };
  let data: string[] = [];
  let dataLength = 0;

  return parser;

  function feed(chunk: Buffer): void {
    const bytes = afterCarriageReturn && chunk[0] === 10 ? chunk.subarray(1) : chunk;
    if (chunk.length > 0) {
      afterCarriageReturn = chunk[chunk.length - 1] === 13;
    }
    // CR and LF are never part of a longer UTF-8 sequence, so whole lines can be decoded by themselves.
    const end = Math.max(bytes.lastIndexOf(10), bytes.lastIndexOf(13)) + 1;
    if (end > 0) {
      pending.push(bytes.subarray(0, end));
      const text = Buffer.concat(pending).toString();
      pending = [];
      pendingLength = 0;
      readLines(isStart ? text.replace(/^\ufeff/, '') : text);
      isStart = false;
    }
    if (end < bytes.length) {
      pendingLength += bytes.length - end;
      checkLimit('line', pendingLength, limits.line);
      pending.push(Buffer.from(bytes.subarray(end)));
    }
  }

  function readLines(text: string): void {
    // Under the njs engine, to split by a pattern takes time that is quadratic in the text.
    const lines = (text.indexOf('\r') < 0 ? text : text.replace(/\r\n|\r/g, '\n')).split('\n');
    for (let i = 0; i < lines.length - 1; i++) {
      checkLimit('line', lines[i]!.length, limits.line);
      if (lines[i] === '') {
        dispatch();
      } else {
        readField(lines[i]!);
      }
    }
  }

  function readField(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) {
      if (onComment) {
        onComment(line);
      }
      return;
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      dataLength += value.length;
      checkLimit('event', dataLength + data.length, limits.event); // with the line ends between them
      data.push(value);
    } else if (field === 'event') {
      event.type = value;
    } else if (field === 'id' && value.indexOf('\0') < 0) {
      event.id = value;
    } else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      event.retry = Number(value);
      onRetry(event.retry);
    }
  }

  function dispatch(): void {
    const finished = event;
    const isEvent = data.length > 0;
    finished.data = data.join('\n');
    event = { data: '' };
    data = [];
    dataLength = 0;
    if (isEvent) {
      onEvent(finished);
    } else if (onBare) {
      onBare(finished);
    }
    // Not before the event has been taken: if onEvent throws, it has to come again.
    if (finished.id !== undefined) {
      parser.lastEventId = finished.id;
    }
  }
}

function checkLimit(what: string, length: number, limit: number): void {
  if (length > limit) {
    throw new Error(`the event stream has a longer ${what} than ${limit}`);
  }
}
