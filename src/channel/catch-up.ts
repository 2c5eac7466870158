import { FORGET_AFTER, firstPlace, idAt, idOf, logKey, oldestUnexpired } from './channel.ts';
import { batchKey, type Cursor, enter, type Reader } from './cursor.ts';
import { formatPositions, type Position, parsePositions } from './position.ts';
import { returnLease } from './subscribers.ts';
import { batches, counts, log } from './zones.ts';

/** How long a place may stay taken but not filled, in milliseconds, before readers go on without it. */
const GRACE = 100;
/**
 * How long a Last-Event-ID is looked for, in milliseconds: the client may come from another server that follows
 * the same upstream and was ahead of this one.
 */
const LOOK_FOR_ID = 1000;
/** What one call of `readAll` takes from a channel, in characters; the rest follows with the next. */
const CHUNK = 65536;

export interface CatchUp {
  /** Finds the place of the client's Last-Event-ID for a cursor that is at the newest place. */
  resume(reader: Reader, cursor: Cursor): void;
  /** What has come since the last call, in the wire format, and '' if nothing has. */
  readAll(reader: Reader): string;
}

/** All that a reader of one channel does not need as long as it gets one event after the other. */
export function createCatchUp(): CatchUp {
  return { resume, readAll };

  function resume(reader: Reader, cursor: Cursor): void {
    const last = cursor.place;
    const positions = parsePositions(reader.lastEventId!);
    const own = positions.find((position) => position.epoch === cursor.epoch);
    cursor.phase = 'replay';
    if (own) {
      cursor.place = own.place;
    } else if (reader.cursors.length === 1) {
      cursor.phase = 'search';
      cursor.place = 0;
      cursor.since = Date.now();
    } else if (positions.length === 0 || !positions.every((position) => isCursor(reader, position))) {
      cursor.phase = 'lost';
    } // and otherwise this is a channel that the client had not subscribed to before
    if (cursor.phase === 'lost' || cursor.place > last) {
      cursor.phase = 'lost';
      cursor.place = 0;
    }
  }

  function readAll(reader: Reader): string {
    // Joined once: to append to a string copies it, and the njs engine keeps every copy until the request ends.
    const texts: string[] = [];
    const cursors = reader.cursors;
    for (let i = 0; i < cursors.length; i++) {
      const cursor = cursors[i]!;
      const last = counts.get(cursor.lastKey);
      if (last === undefined || (last >= 0 && last < cursor.place)) {
        // The log was forgotten, because nothing came for long. The client's position has to be one in the new log.
        returnLease(cursor);
        cursors[i] = enter(cursor.channel, 'live');
        texts.push(`id: ${formatPositions(cursors)}\n\n`);
      } else if (last < 0) {
        reader.ended = true;
      } else if (last > cursor.place || cursor.phase !== 'live') {
        readCursor(reader, cursor, last, texts);
      }
    }
    if (texts.length < 2) {
      return texts[0] || '';
    }
    const text = texts.join('');
    reader.searched += text.length;
    return text;
  }

  function readCursor(reader: Reader, cursor: Cursor, last: number, texts: string[]): void {
    if (cursor.phase === 'search' && !search(reader, cursor, last)) {
      return;
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
      if (readEvents(reader, cursor, last, texts) && key) {
        const text = texts.splice(first).join('');
        texts.push(text);
        reader.searched += text.length;
        keepBatch(key, text);
      }
    }
    if (cursor.place === last) {
      cursor.phase = 'live';
    }
  }

  /** Returns true if all events up to the place `last` were there. */
  function readEvents(reader: Reader, cursor: Cursor, last: number, texts: string[]): boolean {
    let isWhole = true;
    for (let length = 0; cursor.place < last && length < CHUNK; ) {
      const event = log.get(logKey(cursor.epoch, cursor.place + 1));
      if (event !== undefined) {
        cursor.place++;
        cursor.since = 0;
        length += event.length;
        texts.push(event && reader.cursors.length > 1 ? withPositions(reader, event) : event);
      } else if (cursor.place + 1 < firstPlace(cursor.epoch)) {
        skipToOldest(reader, cursor, last, texts);
        isWhole = false;
      } else {
        if (cursor.since === 0) {
          cursor.since = Date.now();
          cursor.upTo = last;
        }
        if (Date.now() - cursor.since < GRACE) {
          return false;
        }
        isWhole = false;
        if (cursor.phase === 'live') {
          closePlace(cursor);
        } else {
          skipToOldest(reader, cursor, cursor.upTo, texts);
        }
      }
    }
    return isWhole && cursor.place === last;
  }

  /**
   * For other subscribers that are as far as this one. Only where there is room enough, for nginx logs it as critical when
   * there is not; without a text the new key still makes njs remove what has expired. And only by `add`: before 0.9.7 njs might
   * free an entry twice that `set` replaces in a zone with `evict`.
   */
  function keepBatch(key: string, text: string): void {
    const hasRoom = batches!.freeSpace() - Buffer.byteLength(text) > batches!.capacity / 4;
    try {
      batches!.add(key, hasRoom ? text : '');
    } catch {
      // The others read event by event.
    }
  }

  function withPositions(reader: Reader, event: string): string {
    return `id: ${formatPositions(reader.cursors)}${event.slice(event.indexOf('\n'))}`;
  }

  /** Whoever fills a place first wins, its publisher or a reader that gave it up: all readers see the same. */
  function closePlace(cursor: Cursor): void {
    const key = logKey(cursor.epoch, cursor.place + 1);
    try {
      if (!log.add(key, '', FORGET_AFTER)) {
        return;
      }
    } catch {
      // The zone is full, as it was for the publisher: its client knows. All other readers end up here, too.
      cursor.place++;
    }
    ngx.log(ngx.WARN, `sse: channel "${cursor.channel}": place ${key} stayed empty, skipped`);
  }

  /** Goes on at the oldest event there is, and says so unless the client just asked for what history there is. */
  function skipToOldest(reader: Reader, cursor: Cursor, upTo: number, texts: string[]): void {
    const from = cursor.place;
    cursor.place = oldestUnexpired(cursor.epoch, Math.max(from + 1, firstPlace(cursor.epoch)), upTo) - 1;
    cursor.since = 0;
    if (cursor.phase === 'replay' && !reader.lastEventId) {
      return;
    }
    const missed = cursor.phase === 'lost' ? null : cursor.place - from;
    cursor.phase = 'replay';
    texts.push(
      `id: ${formatPositions(reader.cursors)}\nevent: sse-gap\ndata: ${JSON.stringify({
        channel: cursor.channel,
        lastEventId: reader.lastEventId,
        missed,
        oldest: idAt(cursor.epoch, cursor.place + 1),
      })}\n\n`,
    );
  }

  function isCursor(reader: Reader, position: Position): boolean {
    return reader.cursors.some((cursor) => cursor.epoch === position.epoch);
  }

  /**
   * Looks for the newest event with this id among those that came since the last search; from there on, or after
   * a second without it, the cursor can read. Returns false before that.
   */
  function search(reader: Reader, cursor: Cursor, last: number): boolean {
    const from = Math.max(cursor.place, firstPlace(cursor.epoch));
    cursor.place = last;
    // The newest place of the last search is looked at again: it may not have been filled.
    for (let place = last; place >= from; place--) {
      const event = log.get(logKey(cursor.epoch, place));
      reader.searched += event ? event.length : 0;
      if (event && idOf(event) === reader.lastEventId) {
        cursor.place = place;
        cursor.phase = 'replay';
        cursor.since = 0;
        return true;
      }
    }
    if (Date.now() - cursor.since < LOOK_FOR_ID) {
      return false;
    }
    cursor.place = 0;
    cursor.phase = 'lost';
    return true;
  }
}
