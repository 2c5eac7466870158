import { BAD_CHANNELS, parseChannels } from './channel/name.ts';
import { closeReader, openReader, read, type Start, startingId } from './channel/read.ts';
import { waitForMore } from './channel/wait.ts';
import { requireZones } from './channel/zones.ts';
import { guarded, refuse } from './nginx/answer.ts';
import { negotiate } from './nginx/negotiate.ts';
import { openResponse } from './nginx/response.ts';
import { timeSetting } from './nginx/settings.ts';

/**
 * A request's memory is freed when it ends and not before (docs/ARCHITECTURE.md, "Memory"). A stream that has
 * grown by this many bytes therefore ends after an event, and the client resumes.
 */
const BUDGET = 1048576;
const BYTES_A_LOOK = 500;
const BYTES_A_SEND = 100;
/** The client whose stream has ended so should not wait for `$sse_retry`, nor come with all others at once. */
const RESUME_WITHIN = 500;

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
    const channels = parseChannels(r.variables.sse_channel, r.uri);
    const history = r.args.history === 'all' ? MANY : Number(r.args.history || 0);
    if (!channels) {
      refuse(r, 400, BAD_CHANNELS);
    } else if (history < 0 || history % 1 !== 0) {
      refuse(r, 400, 'history is a number of events, or all');
    } else if (negotiate(r)) {
      follow(r, channels, { lastEventId: r.headersIn['Last-Event-ID'] || r.args.lastEventId, history }, poll);
    }
  });
}

function follow(r: NginxHTTPRequest, channels: string[], start: Start, poll: number): void {
  const reader = openReader(channels, start);
  njs.on('exit', () => closeReader(reader));
  const response = openResponse(r);

  let grown = 0;
  let lastEvent = Date.now();
  if (!start.lastEventId) {
    response.write(`id: ${startingId(reader)}\n\n`);
  }
  look();

  function look(): void {
    if (response.closed) {
      return;
    }
    const text = read(reader);
    grown += BYTES_A_LOOK;
    if (text !== '') {
      response.write(text);
      lastEvent = Date.now();
      grown += BYTES_A_SEND + text.length;
    }
    if (grown > BUDGET) {
      response.write(`retry: ${Math.ceil(Math.random() * RESUME_WITHIN)}\n\n`);
    }
    if (reader.ended || grown > BUDGET) {
      response.close();
    } else {
      waitForMore(poll, Date.now() - lastEvent, look);
    }
  }
}

export default { subscribe };
