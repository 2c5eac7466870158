import { START } from '../event-stream/serialize.ts';
import { idAt, logKey, openChannel, placeOfId } from './channel.ts';
import { formatPositions, type Position } from './position.ts';
import { type Lease, renewLease } from './subscribers.ts';
import { batches } from './zones.ts';

/** To read one text takes less than to read two, also where few others share it. */
const BATCH = 2;

/** Where a reader stands in one channel. */
export interface Cursor extends Position, Lease {
  channel: string;
  /** Where the newest place is told; kept, because it is looked up at every look. */
  lastKey: string;
  phase: Phase;
  /** Since when the next place is known to be taken but empty, or the id is looked for; 0 if it is not. */
  since: number;
  /** The newest place that was taken then. */
  upTo: number;
  /** Up to this place nobody has to wait for a publisher any more. */
  graced: number;
  /** How long an id is looked for, in milliseconds. */
  patience: number;
  /** After how long it was last found out, in milliseconds, how long that should be. */
  triedAt: number;
  /** No place above this one was taken yet at the time `settledAt`: so its event has not expired, if that is not too long ago. */
  settled: number;
  settledAt: number;
}

/**
 * - `search`: the client's Last-Event-ID is not known, but may come.
 * - `lost`: it says nothing about this log.
 * - `history`: nothing was found of the history that a first visitor asked for, but it may come.
 * - `replay`: reading what was there before the client.
 * - `live`: has read all that there was at least once.
 */
type Phase = 'search' | 'lost' | 'history' | 'replay' | 'live';

/** Reads one or several channels, each in the order of its log. */
export interface Reader {
  cursors: Cursor[];
  lastEventId: string | undefined;
  /** Whether the client has no id yet from which it could resume in all of these channels. */
  starts: boolean;
  /** What one read takes from a channel, in characters, where it is several events; the rest follows with the next. */
  portion: number;
  /** From 0 to 1, by chance: what readers should not all do alike depends on it. */
  spread: number;
  /** True once a channel was deleted. */
  ended: boolean;
  /** How many characters were read beside those that were returned. */
  searched: number;
  /** How many had moved their leases when we began to wait, ourselves included. */
  peers: number;
}

/** Subscribes to one channel, at its beginning. */
export function enter(channel: string, phase: Phase): Cursor {
  const epoch = openChannel(channel, 0);
  const cursor = {
    channel,
    epoch,
    lastKey: epoch + '.last',
    place: 0,
    window: 0,
    rank: 0,
    phase,
    since: 0,
    upTo: 0,
    graced: 0,
    patience: 0,
    triedAt: 0,
    settled: 0,
    settledAt: 0,
  };
  renewLease(cursor, Date.now());
  return cursor;
}

/** All that there is has been read. */
export function settle(cursor: Cursor, now: number): void {
  cursor.settled = cursor.place;
  cursor.settledAt = now;
}

/**
 * An event that only carries an id, by which its client resumes after what was read so far. It has data, because many
 * clients drop an id without, and a type of its own, so that `onmessage` does not get it.
 *
 * @param isNeeded false for a client that has received what was read: '' then, if the id of that leads back to it, and not to an
 * earlier event with the same id.
 */
export function startEvent(reader: Reader, isNeeded: boolean): string {
  const cursor = reader.cursors[0]!;
  const newest = reader.cursors.length === 1 && cursor.place > 0 && idAt(cursor.epoch, cursor.place);
  const isExact =
    newest &&
    (newest === logKey(cursor.epoch, cursor.place) || placeOfId(cursor.epoch, newest) === cursor.place);
  const id = newest && isExact ? newest : formatPositions(reader.cursors);
  return isNeeded || (newest && !isExact) ? 'id: ' + id + '\nevent: ' + START + '\ndata: {}\n\n' : '';
}

/**
 * Under which a reader of many events leaves them, as one text, to all that are as far as it is: in the zone `sse_batch`.
 * '' where they are not left: they are too few, or there is no such zone.
 */
export function batchKey(cursor: Cursor, last: number): string {
  return batches && last - cursor.place >= BATCH ? logKey(cursor.epoch, cursor.place + 1) + '-' + last : '';
}
