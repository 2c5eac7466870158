/** True for a Content-Type that says text/event-stream, in any case and with any parameters (RFC 9110, section 8.3.1). */
export function isEventStream(contentType: string | undefined): boolean {
  return /^text\/event-stream\s*(;|$)/i.test(contentType || '');
}
