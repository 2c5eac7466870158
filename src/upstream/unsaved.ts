import { type ServerEvent, serialize, serializeFields } from '../event-stream/serialize.ts';

/**
 * The state of an upstream is saved before each event is appended. So if a worker is killed, the
 * log may hold one event from the upstream that the state knows nothing of; and the upstream sends
 * that one again.
 *
 * It is looked for until the first event with an id, which can only be this one, or come after it.
 * Events without ids may come before it, for they may be live and not replayed: an upstream may
 * greet who connects.
 */
export interface Unsaved {
  /** False once the event has been found, or can no longer come. */
  isExpected(): boolean;
  /**
   * True for the event that is in the log already. To be called with each event, in their order.
   */
  wasAppended(event: ServerEvent): boolean;
}

/** So many events without ids are compared: what has not come by then will not. */
const MOST = 100;

/**
 * An event as the log holds it, and its key there, which is the id of an event that came without
 * one.
 */
export interface Entry {
  key: string;
  text: string;
}

/**
 * @param entries what was appended since the state was saved, by the upstream or by others.
 * @param resumeId the id after which the upstream was asked to resume. With '' it replays nothing
 * that has no id.
 */
export function createUnsaved(entries: Entry[], resumeId: string): Unsaved {
  let left = entries.length > 0 ? MOST : 0;

  return {
    isExpected: () => left > 0,
    wasAppended(event) {
      if (left === 0) {
        return false;
      }
      const isReplayed = event.id ? true : resumeId !== '';
      const found = isReplayed && entries.some((entry) => entry.text === textOf(event, entry.key));
      left = event.id || found ? 0 : left - 1;
      return found;
    },
  };
}

function textOf(event: ServerEvent, key: string): string {
  return event.id ? serialize(event) : `id: ${key}\n${serializeFields(event)}`;
}
