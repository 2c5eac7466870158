import {
  FORGET_AFTER,
  firstPlace,
  idAt,
  lastPlace,
  logKey,
  oldestUnexpired,
  placeOfId,
  TTL,
} from './channel.ts';
import { batchKey, type Cursor, enter, type Reader, settle, startEvent } from './cursor.ts';
import { formatPositions, type Position, parsePositions } from './position.ts';
import { returnLease } from './subscribers.ts';
import { batches, counts, log } from './zones.ts';

/** How long a place may stay taken but not filled, in milliseconds, before readers go on without it. */
const GRACE = 100;
/** How long a Last-Event-ID is looked for that nothing tells about, in milliseconds. */
const LOOK_FOR_ID = 1000;
/** The same at an edge: the client may come from another one that follows the same origin and was ahead. */
const LOOK_AT_EDGE = 10000;
/** The same where the newest ids tell that it is still to come. Not for ever: a publisher's ids may look like positions, and start over. */
const LOOK_AHEAD = 60000;
/** How many of the newest events are looked at to find out whether this is an edge. */
const NEWEST = 8;
/** How many characters an epoch has at the least, but for one in fifty thousand. */
const EPOCH = 8;
/** How long a closed place stays so, in milliseconds: longer than any event lives. */
const CLOSED_FOR = 30 * 86400000;
/** How many publishers may be held up at the same time, about. */
const PUBLISHERS = 16;
/** How long a batch is kept for others, in milliseconds. */
const KEEP_BATCH = 1000;
/** The same where the zone is half full. */
const KEEP_FREQUENT = 50;

export interface CatchUp {
  /** Finds the place of the client's Last-Event-ID for a cursor that is at the newest place. */
  resume(reader: Reader, cursor: Cursor, now: number): void;
  /** Finds the oldest of so many events for a cursor that is at the newest place. */
  startHistory(cursor: Cursor, history: number): void;
  /** What has come since the last call, in the wire format, and '' if nothing has. */
  readAll(reader: Reader, now: number): string;
  /** Tells of the gap if the client's id is still looked for, or was just given up. */
  giveUp(reader: Reader): string;
}

/**
 * All that a reader of one channel does not need as long as it gets one event after the other. It is the one place that decides
 * what a client has missed: whenever a cursor moves on without an event that may have been there, `skipToOldest` tells of it.
 */
export function createCatchUp(): CatchUp {
  return { resume, startHistory, readAll, giveUp };

  function resume(reader: Reader, cursor: Cursor, now: number): void {
    const last = cursor.place;
    const id = reader.lastEventId!;
    const positions = parsePositions(id);
    const own = positions.find((position) => position.epoch === cursor.epoch);
    const noted = placeOfId(cursor.epoch, id);
    const place = own && !(noted! < own.place) ? own.place : noted;
    cursor.phase = 'replay';
    if (place !== undefined && place <= last) {
      cursor.place = place;
    } else if (!own && reader.cursors.length === 1) {
      cursor.phase = 'search';
      cursor.place = 0;
      cursor.since = now;
      cursor.patience = LOOK_FOR_ID;
    } else if (!own && isOfOthers(positions)) {
      // The client had not subscribed to this channel before.
      reader.starts = true;
    } else {
      cursor.phase = 'lost';
      cursor.place = 0;
    }
  }

  /**
   * The newest places may be empty because their publishers are just filling them: those events come after the history. Where
   * nothing else is left, such a place looks like one whose event has expired, which was not asked for.
   */
  function startHistory(cursor: Cursor, history: number): void {
    const last = cursor.place;
    const first = firstPlace(cursor.epoch);
    const lowest = Math.max(first, last - PUBLISHERS + 1);
    let newest = last;
    while (newest >= lowest && !log.get(logKey(cursor.epoch, newest))) {
      newest--;
    }
    if (newest < lowest) {
      cursor.phase = 'history';
      cursor.place = lowest - 1;
    } else {
      cursor.phase = 'replay';
      cursor.place = oldestUnexpired(cursor.epoch, Math.max(first, newest - history + 1), newest) - 1;
    }
  }

  function giveUp(reader: Reader): string {
    const cursor = reader.cursors[0]!;
    const texts: string[] = [];
    // One that is lost since this look, or waits for its turn, was not told yet either.
    if (cursor.phase === 'search' || cursor.phase === 'lost') {
      cursor.phase = 'lost';
      readCursor(reader, cursor, Math.max(0, lastPlace(cursor.epoch) || 0), Date.now(), texts);
    }
    return texts.join('');
  }

  function readAll(reader: Reader, now: number): string {
    // Joined once: to append to a string copies it, and the njs engine keeps every copy until the request ends.
    const texts: string[] = [];
    const cursors = reader.cursors;
    for (let i = 0; i < cursors.length; i++) {
      const cursor = cursors[i]!;
      const last = counts.get(cursor.lastKey);
      if (last === undefined || (last >= 0 && last < cursor.place)) {
        followNextLife(reader, i, now, texts);
      } else if (last < 0) {
        reader.ended = true;
      } else if (last > cursor.place || cursor.phase !== 'live') {
        readCursor(reader, cursor, last, now, texts);
      } else {
        settle(cursor, now);
      }
    }
    if (texts.length < 2) {
      return texts[0] || '';
    }
    const text = texts.join('');
    reader.searched += text.length;
    return text;
  }

  /**
   * The log was forgotten, because nothing came for long. The client's position has to be one in the new log; and if we have not
   * looked for long ourselves, something may have come and expired.
   */
  function followNextLife(reader: Reader, i: number, now: number, texts: string[]): void {
    const old = reader.cursors[i]!;
    returnLease(old);
    const cursor = enter(old.channel, 'live');
    reader.cursors[i] = cursor;
    // Others may have been there before us.
    const last = Math.max(0, lastPlace(cursor.epoch) || 0);
    cursor.settled = last;
    cursor.settledAt = now;
    if (old.place < old.settled || now - old.settledAt >= FORGET_AFTER / 2) {
      cursor.phase = 'lost';
      readCursor(reader, cursor, last, now, texts);
    } else {
      texts.push(startEvent(reader, true));
    }
  }

  function readCursor(reader: Reader, cursor: Cursor, last: number, now: number, texts: string[]): void {
    if (cursor.phase === 'search') {
      search(reader, cursor, last, now);
      return; // All who come with such an id at the same time know at the same time.
    }
    if (cursor.phase === 'lost') {
      skipToOldest(reader, cursor, last, texts);
    }
    const key = reader.cursors.length === 1 ? batchKey(cursor, last) : '';
    const batch = key ? batches!.get(key) : undefined;
    if (batch) {
      cursor.place = last;
      cursor.since = 0;
      texts.push(batch);
    } else {
      const first = texts.length;
      if (readEvents(reader, cursor, last, now, texts) && key) {
        const text = texts.splice(first).join('');
        texts.push(text);
        reader.searched += text.length;
        keepBatch(key, text);
      }
    }
    if (cursor.place === last) {
      cursor.phase = 'live';
      settle(cursor, now);
    }
  }

  /** Returns true if all events up to the place `last` were there. */
  function readEvents(reader: Reader, cursor: Cursor, last: number, now: number, texts: string[]): boolean {
    let isWhole = true;
    for (let length = 0; cursor.place < last && length < reader.portion; ) {
      const event = log.get(logKey(cursor.epoch, cursor.place + 1));
      if (event !== undefined) {
        cursor.place++;
        cursor.since = 0;
        cursor.phase = cursor.phase === 'history' ? 'replay' : cursor.phase;
        length += event.length;
        texts.push(event && reader.cursors.length > 1 ? withPositions(reader, event) : event);
      } else if (cursor.place + 1 < firstPlace(cursor.epoch)) {
        skipToOldest(reader, cursor, last, texts);
        isWhole = false;
      } else {
        if (cursor.since === 0 && cursor.place >= cursor.graced) {
          cursor.since = now;
          cursor.upTo = last;
        }
        const waited = now - cursor.since;
        if (waited >= 0 && waited < GRACE) {
          return false;
        }
        // Nor is any other place waited for that was taken then.
        cursor.graced = cursor.upTo;
        isWhole = false;
        if (cannotHaveExpired(cursor, now)) {
          closePlace(reader, cursor, texts);
        } else {
          skipToOldest(reader, cursor, cursor.upTo, texts);
        }
      }
    }
    return isWhole && cursor.place === last;
  }

  /**
   * Whether an event in the next place, which is empty, could not have expired: then none was ever there. Half the time to live is
   * left for clocks of workers that were held up.
   */
  function cannotHaveExpired(cursor: Cursor, now: number): boolean {
    const elapsed = now - cursor.settledAt;
    return (
      cursor.place >= cursor.settled &&
      elapsed >= 0 &&
      elapsed < (counts.get(cursor.epoch + TTL) || FORGET_AFTER) / 2
    );
  }

  /**
   * For other subscribers that are as far as this one. A zone that is nearly full is emptied instead: before 0.9.6 njs logs it as
   * critical when it has to evict. And only by `add`: before 0.9.7 njs might free an entry twice that `set` replaces in a zone with
   * `evict`.
   */
  function keepBatch(key: string, text: string): void {
    const room = batches!.freeSpace() - Buffer.byteLength(text);
    const quarter = batches!.capacity / 4;
    try {
      if (room > quarter) {
        // Events that fill the zone within a second are so frequent that the next one soon makes this batch useless.
        batches!.add(key, text, room > quarter * 2 ? KEEP_BATCH : KEEP_FREQUENT);
      } else {
        batches!.clear();
      }
    } catch {
      // The others read event by event.
    }
  }

  function withPositions(reader: Reader, event: string): string {
    return `id: ${formatPositions(reader.cursors)}${event.slice(event.indexOf('\n'))}`;
  }

  /** Whoever fills a place first wins, its publisher or a reader that gave it up: all readers see the same. */
  function closePlace(reader: Reader, cursor: Cursor, texts: string[]): void {
    const key = logKey(cursor.epoch, cursor.place + 1);
    try {
      if (log.freeSpace() > 0) {
        if (log.add(key, '', CLOSED_FOR)) {
          ngx.log(ngx.WARN, `sse: channel "${cursor.channel}": place ${key} stayed empty, skipped`);
        }
        return;
      }
    } catch {}
    // It cannot be closed, so its publisher may still fill it.
    skipToOldest(reader, cursor, cursor.place + 1, texts);
  }

  /** Goes on at the oldest event there is, and tells of what was skipped, unless a first visitor did not ask for that. */
  function skipToOldest(reader: Reader, cursor: Cursor, upTo: number, texts: string[]): void {
    const from = cursor.phase === 'history' ? cursor.settled : cursor.place;
    const first = Math.max(cursor.place + 1, firstPlace(cursor.epoch));
    const missed = moveTo(cursor, oldestUnexpired(cursor.epoch, first, upTo) - 1, from);
    if (missed !== null && missed <= 0) {
      return;
    }
    texts.push(
      `id: ${formatPositions(reader.cursors)}\nevent: sse-gap\ndata: ${JSON.stringify({
        channel: cursor.channel,
        lastEventId: reader.lastEventId,
        missed,
        oldest: idAt(cursor.epoch, cursor.place + 1),
      })}\n\n`,
    );
  }

  /** Returns how many events after `from` that leaves out: null if this is not known, 0 if one was filled at this moment. */
  function moveTo(cursor: Cursor, place: number, from: number): number | null {
    const missed = cursor.phase === 'lost' ? null : place - from;
    cursor.place = place;
    cursor.since = 0;
    cursor.phase = 'replay';
    return missed;
  }

  /** Whether an id says nothing of a channel because it is of others that there are. Only positions tell of which. */
  function isOfOthers(positions: Position[]): boolean {
    return positions.length > 0 && positions.every((position) => lastPlace(position.epoch)! >= 0);
  }

  /** Looks whether the client's id has come meanwhile: from there on, or after some time without it, the cursor can read. */
  function search(reader: Reader, cursor: Cursor, last: number, now: number): void {
    const place = placeOfId(cursor.epoch, reader.lastEventId!);
    if (place !== undefined && place <= last) {
      cursor.place = place;
      cursor.phase = 'replay';
      cursor.since = 0;
      return;
    }
    const waited = now - cursor.since;
    // Once a second at the most, because each time takes the memory of some events.
    if (cursor.upTo !== last && cursor.patience !== LOOK_AT_EDGE && waited >= cursor.triedAt + LOOK_FOR_ID) {
      cursor.triedAt = waited;
      cursor.upTo = last;
      cursor.patience = patienceAt(reader, cursor, last);
    }
    if (waited < 0 || waited >= cursor.patience) {
      cursor.phase = 'lost';
    }
  }

  /**
   * How long to wait for the client's id. Ids that are positions in a log of another server tell that this is an edge; and where
   * they are lower than the client's, that its id is still to come.
   */
  function patienceAt(reader: Reader, cursor: Cursor, last: number): number {
    const wanted = parsePositions(reader.lastEventId!);
    for (let place = last; place > 0 && place > last - NEWEST; place--) {
      const event = log.get(logKey(cursor.epoch, place)) || '';
      reader.searched += event.length;
      const newest = parsePositions(event.slice(4, event.indexOf('\n')));
      if (newest.length > 0 && newest[0]!.epoch !== cursor.epoch && newest[0]!.epoch.length >= EPOCH) {
        return isAhead(wanted, newest) ? LOOK_AHEAD : LOOK_AT_EDGE;
      }
    }
    return LOOK_FOR_ID;
  }

  /** Whether positions are further than others in the same logs. */
  function isAhead(wanted: Position[], than: Position[]): boolean {
    return (
      wanted.length === than.length &&
      wanted.every((position, i) => position.epoch === than[i]!.epoch && position.place >= than[i]!.place) &&
      wanted.some((position, i) => position.place > than[i]!.place)
    );
  }
}
