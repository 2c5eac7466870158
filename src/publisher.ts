import { type Appended, append } from './channel/append.ts';
import { channelState, deleteChannel, findChannel, lastPlace, removeEvents } from './channel/channel.ts';
import { channelError, EMPTY_CHANNEL, parseChannels } from './channel/name.ts';
import { passRingsOn } from './channel/ring.ts';
import { countSubscribers } from './channel/subscribers.ts';
import { isZoneFull, requireZones } from './channel/zones.ts';
import { isEventStream } from './event-stream/media-type.ts';
import { createParser } from './event-stream/parse.ts';
import { fitsOneLine, type ServerEvent } from './event-stream/serialize.ts';
import { answerJson, guarded, refuse, refuseWith } from './nginx/answer.ts';
import { countSetting, sizeSetting, timeSetting } from './nginx/settings.ts';

/** What is left to do when the ring of this request was answered. */
let afterRing = () => {};
passRingsOn(() => afterRing());

const METHODS = 'GET, HEAD, POST, DELETE';
const BAD_LINE = 'an id or a type cannot have NUL, CR or LF';

/**
 * js_content: POST appends the body to a channel as one event, or as many if it is an event stream itself;
 * GET tells the channel's state; DELETE removes the channel.
 */
function publish(r: NginxHTTPRequest): void {
  guarded(r, () => {
    requireZones();
    const channels = parseChannels(r.variables.sse_channel, r.uri);
    const channel = channels ? channels[0]! : '';
    if (!channels) {
      refuseWith(r, channelError(r.variables.sse_channel), EMPTY_CHANNEL);
    } else if (channels.length > 1) {
      refuse(r, 400, 'publish to one channel at a time');
    } else if (r.method === 'POST') {
      post(r, channel);
    } else if (r.method === 'GET' || r.method === 'HEAD' || r.method === 'DELETE') {
      showOrDelete(r, channel);
    } else {
      r.headersOut.Allow = METHODS;
      refuse(r, 405, `${r.method} is not supported here: use ${METHODS}`);
    }
  });
}

function showOrDelete(r: NginxHTTPRequest, channel: string): void {
  const epoch = findChannel(channel);
  if (epoch === undefined) {
    refuse(r, 404, `there is no channel "${channel}": the first POST or subscriber creates it`);
    return;
  }
  const state = channelState(channel, epoch, countSubscribers(epoch), lastPlace(epoch) || 0);
  if (r.method !== 'DELETE') {
    answerJson(r, 200, state);
    return;
  }
  const events = deleteChannel(epoch);
  removeNext(events.first);

  /** A long history is removed in portions, so that others get their turn. */
  function removeNext(first: number): void {
    const next = removeEvents(epoch!, first, events.last);
    if (next > events.last) {
      guarded(r, () => answerJson(r, 200, state));
    } else {
      // After 0 nginx would go on with it before anything else.
      setTimeout(() => removeNext(next), 1);
    }
  }
}

function post(r: NginxHTTPRequest, channel: string): void {
  const limits = {
    history: countSetting(r, 'sse_history', 100, 1000000),
    ttl: timeSetting(r, 'sse_ttl', 3600000, 1000),
  };
  const largest = sizeSetting(r, 'sse_max_event', 1048576, 64 * 1048576);

  const given = r.headersIn['Content-Type'];
  const type = given ? given.toLowerCase() : '';
  const unsupported = unsupportedBody(r, type);
  if (unsupported) {
    refuse(r, 415, unsupported);
    return;
  }
  const body = r.requestText || '';
  if (body.indexOf('\ufffd') >= 0 && !Buffer.from(body).equals(r.requestBuffer as Buffer)) {
    refuse(r, 400, 'the body is not valid UTF-8: encode binary data, for example as base64');
    return;
  }
  const isBulk = isEventStream(type);
  if (isBulk && /^id:[^\r\n]*\0/m.test(body)) {
    // A client would ignore such an id; to lose it here silently would be worse.
    refuse(r, 400, BAD_LINE);
    return;
  }
  const events = isBulk ? parseBulk(body) : [eventOf(r, body)];
  for (let i = 0; i < events.length; i++) {
    if (!isGood(r, events[i]!, i + 1, largest)) {
      return;
    }
  }
  if (events.length === 0) {
    refuse(r, 400, 'the body has no event: each needs at least one "data:" line');
    return;
  }
  appendAll(r, channel, events, limits);
}

/** Returns false for an event that cannot be published; the request has been answered then. */
function isGood(r: NginxHTTPRequest, event: ServerEvent, number: number, largest: number): boolean {
  const line = (event.id || '') + (event.type || '');
  if (line && !fitsOneLine(line)) {
    refuse(r, 400, `event ${number}: ${BAD_LINE}`);
  } else if (line && line.indexOf('\ufffd') >= 0) {
    refuse(r, 400, `event ${number}: the id or the type is not valid UTF-8`);
  } else if (event.data.length * 4 > largest && Buffer.byteLength(event.data) > largest) {
    refuse(
      r,
      413,
      `event ${number} has more than ${largest} bytes of data: send less, or raise $sse_max_event`,
    );
  } else {
    return true;
  }
  return false;
}

function appendAll(
  r: NginxHTTPRequest,
  channel: string,
  events: ServerEvent[],
  limits: { history: number; ttl: number },
): void {
  let published = 0;
  try {
    let newest: Appended | undefined;
    let wakes = false;
    for (; published < events.length; published++) {
      newest = append(channel, events[published]!, limits);
      wakes = wakes || newest.wakes;
    }
    if (wakes) {
      runAfterRing(() => guarded(r, () => answerPublished(r, channel, newest!)));
    } else {
      answerPublished(r, channel, newest!);
    }
  } catch (error) {
    if (!isZoneFull(error)) {
      throw error;
    }
    answerJson(r, 507, {
      error: `shared memory is full, ${published} of ${events.length} events were published: enlarge the zones in sse/zones.conf, or lower $sse_history or $sse_ttl`,
      published,
    });
  }
}

/**
 * Who is woken gets the event first: to answer takes as long as to wake one. Nothing is pending then: nginx would log an error
 * about it where the client has left, and take no other request from its connection.
 */
function runAfterRing(run: () => void): void {
  afterRing = () => {
    afterRing = () => {};
    run();
  };
}

function answerPublished(r: NginxHTTPRequest, channel: string, newest: Appended): void {
  const subscribers = countSubscribers(newest.epoch);
  const state = channelState(channel, newest.epoch, subscribers, newest.place, newest.id);
  answerJson(r, subscribers > 0 ? 201 : 202, state);
}

/** What is wrong with the body's type, or undefined. */
function unsupportedBody(r: NginxHTTPRequest, type: string): string | undefined {
  const encoding = r.headersIn['Content-Encoding'];
  if (encoding && encoding.toLowerCase() !== 'identity') {
    return `Content-Encoding ${encoding} is not supported: send the body as it is`;
  }
  if (type.indexOf(';') < 0 && type.indexOf('multipart/') !== 0) {
    return undefined;
  }
  const charset = /;\s*charset="?([^\s;"]+)/.exec(type);
  if (charset && charset[1] !== 'utf-8' && charset[1] !== 'utf8' && charset[1] !== 'us-ascii') {
    return `charset ${charset[1]} is not supported: event streams are UTF-8`;
  }
  if (/^multipart\//.test(type)) {
    return 'multipart bodies are not supported: the body itself is the data';
  }
  return undefined;
}

function eventOf(r: NginxHTTPRequest, body: string): ServerEvent {
  return { id: r.headersIn['X-EventSource-ID'], type: r.headersIn['X-EventSource-Event'], data: body };
}

/** The events of a body that is an event stream itself; its end ends the last event. */
function parseBulk(body: string): ServerEvent[] {
  const events: ServerEvent[] = [];
  const parser = createParser(
    (event) => events.push(event),
    () => {},
    { line: body.length * 4, event: body.length },
  );
  parser.feed(Buffer.from(`${body}\n\n`));
  return events;
}

const NGINX_ERRORS: Record<number, string> = {
  403: 'publishing is not allowed from your address: put "allow <address>;" above "include sse/publisher.conf;"',
  413: 'the body is larger than client_max_body_size allows: send less, or raise it',
};

/** The body that replaces nginx's own error page in this request; '' for every other answer. */
let errorLine = '';

/** js_header_filter: what nginx itself refuses (access rules, limits) is answered in JSON too. */
function errorHeader(r: NginxHTTPRequest): void {
  errorLine = '';
  const status = r.status;
  if (status >= 400 && r.headersOut['Content-Type'] === 'text/html') {
    const error = NGINX_ERRORS[status] || `nginx refused this with status ${status}: see its error log`;
    errorLine = `${JSON.stringify({ error })}\n`;
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Content-Length'] = String(Buffer.byteLength(errorLine));
  }
}

/** js_body_filter, buffer_type=buffer: goes with errorHeader. */
function errorBody(r: NginxHTTPRequest, data: Buffer, flags: NginxHTTPSendBufferOptions): void {
  if (errorLine === '') {
    r.sendBuffer(data, flags);
    r.done();
  } else if (flags.last) {
    r.sendBuffer(errorLine, flags);
  }
}

export default { publish, errorHeader, errorBody };
