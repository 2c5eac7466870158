import { logKey } from './channel/channel.ts';
import { type Reader, startEvent } from './channel/cursor.ts';
import { channelError, EMPTY_CHANNEL, parseChannels } from './channel/name.ts';
import { passBells } from './channel/pass.ts';
import {
  closeReader,
  giveUp,
  isPlain,
  isReplay,
  isUnsettled,
  keepReader,
  openReader,
  read,
} from './channel/read.ts';
import { MISSING } from './channel/ring.ts';
import { MAX_BELLS, markBells, pollDelay, RELEASE_EVERY, releaseWait, waitForBells } from './channel/wait.ts';
import { isLeaving, LATE, lastServed, renewWorker, SERVING, takeTurn } from './channel/worker.ts';
import { counts, isZoneFull, log, requireZones } from './channel/zones.ts';
import { guarded, refuse, refuseWith } from './nginx/answer.ts';
import { negotiate } from './nginx/negotiate.ts';
import { openResponse } from './nginx/response.ts';
import { sizeSetting, timeSetting } from './nginx/settings.ts';

/** What njs allocates in a request's pool, in bytes (docs/ARCHITECTURE.md, "Memory"). */
const A_LOOK = njs.engine === 'QuickJS' ? 210 : 320;
const A_WAIT = njs.engine === 'QuickJS' ? 3000 : 5200;
/** Beside the text itself; a heartbeat with its timer takes about as much. */
const A_SEND = njs.engine === 'QuickJS' ? 200 : 450;

/**
 * The client whose stream was ended by us should not wait for `$sse_retry`, nor come with all others at once, in milliseconds. Unless
 * no worker is left: then it should wait, and not as long as all others.
 */
const RESUME_WITHIN = 100;
/** Who has said that it serves so long after a worker last did, in milliseconds, does not leave with it. */
const SERVES = 1200;
/** Events that come within this time of each other, in milliseconds, are looked for and not waited for. */
const BUSY = 500;
/** So many glances are enough before the next look. */
const GLANCES = 8;
/** How often to look whether the worker is about to leave, in milliseconds. */
const LOOK_FOR_LEAVING = 1000;
/** A replay goes on by so many characters when the client has taken all but this many bytes. */
const REPLAY_AHEAD = 65536;

/** Shorter than the interval of `pass`, in milliseconds, by what the last ring may need to be passed on. */
const PASS_FOR = 59800;

/** What it takes to wake one subscriber and to send to it, about, in milliseconds. */
const TO_WAKE = 0.04;
/** To wake so many takes as long as may pass before one of them waits anew. */
const LARGE = BUSY / 2 / TO_WAKE;

/**
 * Before it waits, a subscriber makes sure that its worker has served this recently, in milliseconds: doorbell-connection.ts wakes
 * nobody so soon after that. One that has polled, or of so many who wait anew together, asks for the last millisecond.
 */
const FRESH = 200;
const CROWDED = 100;

/** More events than a log can hold. */
const MANY = 1e9;

/**
 * js_content: streams one or several channels. A client with a Last-Event-ID (header, or `lastEventId` in the
 * query) gets what it missed, one without gets `history=N` or `history=all` events if it asks; then events come live.
 */
function subscribe(r: NginxHTTPRequest): void {
  guarded(r, () => {
    requireZones();
    const poll = timeSetting(r, 'sse_poll', 20, 1);
    const budget = sizeSetting(r, 'sse_budget', 1048576, 1073741824);
    const lifetime = timeSetting(r, 'sse_lifetime', 3600000, 1000);
    const drain = timeSetting(r, 'sse_drain', 10000, 1);
    const channels = parseChannels(r.variables.sse_channel, r.uri);
    const wanted = r.args.history;
    const history = !wanted ? 0 : wanted === 'all' ? MANY : Number(wanted);
    if (!channels) {
      refuseWith(r, channelError(r.variables.sse_channel), EMPTY_CHANNEL);
    } else if (history < 0 || history % 1 !== 0) {
      refuse(r, 400, 'history is a number of events, or all');
    } else if (negotiate(r)) {
      const lastEventId = r.headersIn['Last-Event-ID'] || r.args.lastEventId;
      let reader: Reader | undefined;
      try {
        reader = openReader(channels, lastEventId, history, Date.now());
      } catch (error) {
        if (!isZoneFull(error)) {
          throw error;
        }
        refuse(r, 507, 'shared memory has no room for a new channel: enlarge sse_count in sse/zones.conf');
      }
      if (reader) {
        follow(r, reader, poll, budget, lifetime, drain);
      }
    }
  });
}

/** Streams what the reader reads until the client leaves, or it is time to resume in another request. */
function follow(
  r: NginxHTTPRequest,
  reader: Reader,
  poll: number,
  largest: number,
  lifetime: number,
  drain: number,
): void {
  njs.on('exit', () => closeReader(reader));
  // Those who came together, as after a restart, should not leave together.
  const jitter = 1 - reader.spread / 4;
  let end = Date.now() + lifetime * jitter;
  const response = openResponse(r, beat, end, reader.starts ? startEvent(reader, true) : '');
  response.cutOff = endForNow;
  /** The njs engine looks up what is global each time. */
  const after = setTimeout;
  let hasDoorbell =
    !!process.env.NJS_SSE_DOORBELL && reader.cursors.length <= MAX_BELLS && !counts.has(MISSING);
  const budget = largest * jitter;
  /** The first ones follow no other. */
  let lastEvent = Date.now() - BUSY;
  /** Since when the worker is known to leave; 0 if it does not. */
  let leaving = 0;
  let lookedForLeaving = 0;
  let grown = 0;
  let isBusy = false;
  let lookedAt = 0;
  let hasTurn = false;
  let isWaiting = false;
  /** What it waits for, or did last. */
  let mark = '';
  let waitsFor = '';
  /** Waits that were not answered yet, which keep the request. */
  let waits = 0;
  let key = '';
  let place = 0;
  /** Of the event that comes next, where there is but one way to go on. */
  let nextKey = '';
  /** What a glance has sent. */
  let sent = '';
  let delay = 0;
  let glances = 0;

  look();

  /**
   * Most looks find nothing, and most of those that find something find one event: this is all that they have to do. What
   * else is due for it comes in the next look, because many others may be waiting for their turn to send the same.
   * @param signal what ended a wait; undefined after a pause. It may come too late, when we look by ourselves.
   */
  function glance(signal?: unknown): void {
    if (signal !== undefined) {
      waits--;
      if (!isWaiting) {
        return;
      }
    }
    const last = counts.get(key);
    if (last === place && glances > 0) {
      glances--;
      grown += A_LOOK;
      after(glance, isWaiting ? 1 : delay);
      isWaiting = false;
      return;
    }
    if (last === place + 1) {
      try {
        const text = log.get(nextKey);
        if (text) {
          r.send(text);
          sent = text;
          after(look, isWaiting || isBusy ? delay : poll);
          isWaiting = false;
          return;
        }
      } catch {
        // The client has left, as the look will find.
      }
    }
    look();
  }

  /** Sends what there is, and sees to the next look. */
  function look(): void {
    const isWoken = isWaiting;
    isWaiting = false;
    try {
      const now = Date.now();
      const wasBusy = isBusy;
      isBusy = (isBusy || sent !== '') && now - lastEvent < BUSY;
      if (sent !== '') {
        reader.cursors[0]!.place = place + 1;
        response.account(sent);
        grown += A_SEND + sent.length;
        lastEvent = now;
        sent = '';
      }
      const mayWait = hasDoorbell && !isWoken && !isBusy;
      if (!isWoken && (mayWait || now - lookedForLeaving >= LOOK_FOR_LEAVING)) {
        findOutIfLeaving(now, !mayWait ? LATE : wasBusy || reader.peers > CROWDED ? 1 : FRESH);
      }
      // To wait anew takes as long as to send: first all others who were woken.
      mark = '';
      if (mayWait && !leaving) {
        try {
          mark = markBells(reader);
        } catch {
          // The zone is full: it takes no mark.
          hasDoorbell = false;
        }
      }
      // What came before the client is read in turns, but for the first piece.
      const isDue = lookedAt === 0 || !isReplay(reader) || hasTurn;
      const text = isDue ? read(reader, now) : '';
      lookedAt = now;
      hasTurn = false;
      reader.portion = REPLAY_AHEAD;
      grown += A_LOOK;
      if (text !== '') {
        response.write(text);
        grown += A_SEND + text.length;
        isBusy = now - lastEvent < BUSY;
        lastEvent = now;
      }

      if (response.closed) {
        closeReader(reader);
        release();
      } else if (reader.ended) {
        response.close();
        release();
      } else if (grown + reader.searched > budget || now > end) {
        endForNow();
      } else {
        const cursor = reader.cursors[0]!;
        const plain = isPlain(reader);
        if (!plain) {
          nextKey = '';
        } else if (nextKey === '' || place !== cursor.place || key !== cursor.lastKey) {
          nextKey = logKey(cursor.epoch, cursor.place + 1);
        }
        key = cursor.lastKey;
        place = cursor.place;
        // Nothing to read of one channel: its newest place was looked at after its bell was marked.
        if (mark !== '' && text === '' && (plain || !isUnsettled(reader))) {
          grown += A_WAIT;
          isWaiting = true;
          glances = plain ? 1 : 0;
          delay = reader.peers < LARGE ? 1 + reader.peers * TO_WAKE : BUSY / 2;
          waits++;
          waitsFor = mark;
          waitForBells(mark, glance);
        } else {
          if (hasDoorbell && !isBusy && !leaving && !isUnsettled(reader)) {
            glances = 0;
            delay = isWoken ? delay : 1;
          } else {
            glances = leaving || !plain ? 0 : GLANCES;
            delay = pollDelay(poll, now - lastEvent);
            if (isReplay(reader) && response.backlog() <= REPLAY_AHEAD) {
              hasTurn = true;
              delay = Math.max(delay, takeTurn(now));
            }
            if (leaving && end - now < delay) {
              // Those who were woken together also look together.
              delay = 1 + end - now;
            } else if (isBusy) {
              // Subscribers that look together find the same events, and share a batch. But the last of
              // them sends late, so each interval has two such moments.
              delay += poll / 2 - ((now + (reader.spread < 0.5 ? 0 : poll / 2)) % poll);
            }
          }
          after(glance, delay);
        }
      }
    } catch (error) {
      // In a timer nobody else would catch it, and the request would stay for ever.
      r.error(`sse: ${error}`);
      response.close();
    }
  }

  /**
   * Ends the stream for its client to resume: soon, unless no worker is there that could serve it. If the client's id is still looked
   * for, the gap is told now: it would be looked for again in the next stream, and in the one after that.
   */
  function endForNow(): void {
    const chance = Math.random();
    const retry =
      leaving > 0 && !(counts.get(SERVING)! > leaving)
        ? response.retry * (1 + chance)
        : RESUME_WITHIN * chance;
    response.write(giveUp(reader) + startEvent(reader, false) + 'retry: ' + Math.ceil(retry) + '\n');
    response.close();
    release();
  }

  /**
   * Lets go of the request when the stream has ended: a wait that nobody answers would keep it, and its connection, for minutes.
   * Not in a worker that leaves: the doorbell answers all, and may not be there to hear of this.
   */
  function release(): void {
    if (waits > 0 && !leaving && !releaseWait(waitsFor)) {
      after(release, RELEASE_EVERY);
    }
  }

  /** A wait may last three minutes: what cannot wait that long is looked after here. */
  function beat(): void {
    if (response.closed) {
      // A glance is not to find anything any more.
      key = '';
      closeReader(reader);
      release();
      return;
    }
    const now = Date.now();
    grown += A_SEND;
    hasDoorbell = hasDoorbell && !counts.has(MISSING);
    findOutIfLeaving(now, LATE);
    keepReader(reader, now);
    if (isWaiting && (!hasDoorbell || leaving || now > end || grown > budget || isUnsettled(reader))) {
      look();
    }
  }

  /** @param fresh as for isLeaving. Who waits in vain hears of nothing. */
  function findOutIfLeaving(now: number, fresh: number): void {
    lookedForLeaving = now;
    if (!leaving && isLeaving(now, fresh)) {
      const last = lastServed();
      const served = last < 0 ? -last : last;
      // All workers say once a second that they serve, until they are told to leave.
      leaving = served + SERVES;
      // By then another has, if there is one.
      const soonest = Math.max(now, leaving + LOOK_FOR_LEAVING);
      const latest = Math.max(soonest, served + drain - LOOK_FOR_LEAVING);
      end = Math.min(end, soonest + (latest - soonest) * Math.random());
    }
  }
}

/** js_periodic, once a second: says that this worker serves. */
function serve(): void {
  if (counts) {
    renewWorker();
  }
}

/**
 * js_periodic, `interval=60s`: passes what rings on to the requests of this worker that wait in this location. Returns
 * before its next run, because njs frees what a run has allocated when it ends.
 */
function pass(): void {
  if (counts && process.env.NJS_SSE_DOORBELL) {
    passBells(PASS_FOR);
  }
}

export default { subscribe, serve, pass };
