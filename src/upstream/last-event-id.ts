/** nginx's `large_client_header_buffers` holds 8 KB of a header, with its name. In bytes. */
const LONGEST = 8000;

/**
 * The headers by which a server is asked to resume after an id: none for '', and none for an id
 * that no header can carry, which the standard allows. To send it would fail, and so would every
 * attempt after that.
 */
export function resumeHeaders(lastEventId: string): Record<string, string> {
  const fits = /^[\t\x20-\x7e\x80-\uffff]+$/.test(lastEventId) && Buffer.byteLength(lastEventId) <= LONGEST;
  return fits ? { 'Last-Event-ID': lastEventId } : {};
}
