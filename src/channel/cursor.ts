import { logKey, openChannel } from './channel.ts';
import type { Position } from './position.ts';
import { type Lease, renewLease } from './subscribers.ts';
import { batches } from './zones.ts';

const BATCH = 4;

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
}

/**
 * - `search`: the client's Last-Event-ID is not in the log, up to the cursor's place, but may come.
 * - `lost`: it says nothing about this log.
 * - `replay`: reading what was there before the client; an empty place is an event that is gone.
 * - `live`: an empty place is one whose publisher was lost.
 */
type Phase = 'search' | 'lost' | 'replay' | 'live';

/** Reads one or several channels, each in the order of its log. */
export interface Reader {
  cursors: Cursor[];
  lastEventId: string | undefined;
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
  };
  renewLease(cursor, Date.now());
  return cursor;
}

/**
 * Under which a reader of many events leaves them, as one text, to all that are as far as it is: in the zone `sse_batch`.
 * '' where they are not left: they are too few, or there is no such zone.
 */
export function batchKey(cursor: Cursor, last: number): string {
  return batches && last - cursor.place >= BATCH ? logKey(cursor.epoch, cursor.place + 1) + '-' + last : '';
}
