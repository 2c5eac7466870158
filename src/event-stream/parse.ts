import type { ServerEvent } from './serialize.ts';

/**
 * The events of a whole event stream, per the WHATWG HTML standard, section 9.2.6 "Interpreting an event
 * stream", with two departures that a body of known length calls for: an event has an id only if its own
 * block has an `id` field, and the end of the text ends the last event as a blank line would.
 */
export function parseEventStream(text: string): ServerEvent[] {
  const lines = text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/);
  lines.push('');

  const events: ServerEvent[] = [];
  let data: string[] = [];
  let event: ServerEvent = { data: '' };

  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (line === '') {
      if (data.length > 0) {
        event.data = data.join('\n');
        events.push(event);
      }
      event = { data: '' };
      data = [];
      continue;
    }

    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      data.push(value);
    } else if (field === 'event') {
      event.type = value;
    } else if (field === 'id') {
      event.id = value;
    } else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      event.retry = Number(value);
    }
  }
  return events;
}
