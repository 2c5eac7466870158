import { log, requireZones } from '../channel/zones.ts';

/**
 * What a connection has received and its handler has not taken yet. The two are different requests,
 * perhaps in different workers, so it is in shared memory: one entry for what is known of the
 * connection, and one for the events of each chunk. Only the connection appends, only the handler
 * takes.
 */

/** njs-types lacks the timeout of `replace`. */
type Zone = NgxSharedDict<string> & { replace(key: string, value: string, timeout: number): boolean };

/**
 * As long as a handler may wait for its next event, and longer: a silent connection is not
 * forgotten.
 */
const KEEP_CONNECTION = 30 * 86400000;
/** Events that no handler takes, because its worker was killed, are gone after this time. */
const KEEP_EVENTS = 3600000;
/** How long a connection counts as alive after it was last said to be, in milliseconds. */
const KEEP_ALIVE = 20000;

/** Why a connection ends whose worker leaves. */
export const SHUTTING_DOWN = 'nginx is shutting down';

export interface ClientEvent {
  /**
   * The standard's last event ID: the id of this event, or of the last one before it that had one.
   */
  id: string;
  type: string;
  data: string;
  retry?: number | undefined;
}

export interface Connection {
  /** True once the server has answered with an event stream. */
  open: boolean;
  /** Once the connection has ended: why. */
  ended?: string | undefined;
  /** How many entries with events there were. */
  last: number;
  /** When the server last sent something, in milliseconds since 1970. */
  at: number;
  lastEventId: string;
  /** The server's reconnection time in milliseconds, if it sent one. */
  retry?: number | undefined;
}

/**
 * Makes an inbox for a connection that is to be opened.
 * @throws SettingError where the zones are not configured.
 */
export function createInbox(id: string, lastEventId: string): void {
  requireZones();
  const connection: Connection = { open: false, last: 0, at: Date.now(), lastEventId };
  log.set(`client/${id}`, JSON.stringify(connection), KEEP_CONNECTION);
  keepAlive(id);
}

/** Removes it with all that is in it: whoever still writes finds out by `update`. */
export function removeInbox(id: string, taken: number): void {
  const last = look(id)?.last ?? taken;
  log.delete(`client/${id}`);
  log.delete(`client/${id}/alive`);
  for (let entry = taken + 1; entry <= last; entry++) {
    log.delete(`client/${id}/${entry}`);
  }
}

export function look(id: string): Connection | undefined {
  const text = log.get(`client/${id}`);
  return text ? JSON.parse(text) : undefined;
}

/** Returns false if the handler has removed the inbox. */
export function update(id: string, connection: Connection): boolean {
  return (log as Zone).replace(`client/${id}`, JSON.stringify(connection), KEEP_CONNECTION);
}

/**
 * Says why a connection has ended, unless that is known already. Where shared memory is full,
 * `isAlive` tells.
 */
export function end(id: string, why: string): void {
  const connection = look(id);
  if (connection && connection.ended === undefined) {
    try {
      update(id, Object.assign(connection, { ended: why }));
    } catch {}
  }
}

/** For as long as the inbox is there. */
export function keepAlive(id: string): void {
  try {
    if (log.has(`client/${id}`)) {
      log.set(`client/${id}/alive`, '', KEEP_ALIVE);
    }
  } catch {
    // Shared memory is full: the handler gives the connection up if it stays so.
  }
}

export function isAlive(id: string): boolean {
  return log.has(`client/${id}/alive`);
}

/** Puts the events of one chunk in. @throws where shared memory is full. */
export function put(id: string, entry: number, events: ClientEvent[]): number {
  const text = JSON.stringify(events);
  log.set(`client/${id}/${entry}`, text, KEEP_EVENTS);
  return text.length;
}

export function has(id: string, entry: number): boolean {
  return log.has(`client/${id}/${entry}`);
}

export function remove(id: string, entry: number): void {
  log.delete(`client/${id}/${entry}`);
}

/** Takes the events of one entry out; undefined if they are gone. */
export function take(id: string, entry: number): ClientEvent[] | undefined {
  // Not by `pop`: before njs 1.0.1 it returns undefined in a zone with a timeout.
  const text = log.get(`client/${id}/${entry}`);
  log.delete(`client/${id}/${entry}`);
  return text ? JSON.parse(text) : undefined;
}
