/** One event, in the words of the WHATWG HTML standard, section 9.2 "Server-sent events". */
export interface ServerEvent {
  /** Becomes the client's Last-Event-ID. No NUL, CR or LF. */
  id?: string | undefined;
  /** The name that listeners are registered for; none means `message`. No NUL, CR or LF. */
  type?: string | undefined;
  /** Any text; CRLF, CR and LF all end a line, and the client receives LF. */
  data: string;
  /** Reconnection time for the client, in milliseconds. */
  retry?: number | undefined;
}

/** The type of a subscriber's event that only carries an id, by which its client may resume. */
export const START = 'sse-start';

/** True for text that an `id:` or `event:` line can carry: the format has no escape for NUL, CR and LF. */
export function fitsOneLine(text: string): boolean {
  return !/[\0\r\n]/.test(text);
}

/** An event in the wire format, up to and including the blank line that dispatches it. */
export function serialize(event: ServerEvent): string {
  return (event.id === undefined ? '' : 'id: ' + event.id + '\n') + serializeFields(event);
}

/** The same without its id. */
export function serializeFields(event: ServerEvent): string {
  return (
    (event.type ? 'event: ' + event.type + '\n' : '') +
    (event.retry === undefined ? '' : 'retry: ' + event.retry + '\n') +
    prefixLines('data: ', event.data) +
    '\n'
  );
}

/** A comment, which clients ignore; every line of the text gets a colon. No blank line: many clients take it for an event. */
export function serializeComment(text: string): string {
  return prefixLines(': ', text);
}

function prefixLines(prefix: string, text: string): string {
  if (text.indexOf('\n') < 0 && text.indexOf('\r') < 0) {
    return prefix + text + '\n';
  }
  return prefix + text.replace(/\r\n|\r|\n/g, '\n' + prefix) + '\n';
}
