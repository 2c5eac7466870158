import { refuse } from './answer.ts';

const METHODS = 'GET, HEAD, OPTIONS';

/**
 * What HTTP asks of a location that serves event streams, before the stream starts: methods, CORS (Fetch
 * standard, section 3.3; the origins in `$sse_origins`) and Accept (RFC 9110, section 12.5.1).
 *
 * @returns true if the stream may start; otherwise the request has been answered.
 */
export function negotiate(r: NginxHTTPRequest): boolean {
  allowOrigin(r, r.variables.sse_origins);

  if (r.method === 'OPTIONS') {
    r.headersOut.Allow = METHODS;
    r.return(204);
  } else if (r.method !== 'GET' && r.method !== 'HEAD') {
    r.headersOut.Allow = METHODS;
    refuse(r, 405, `${r.method} is not supported here: use ${METHODS}`);
  } else if (!acceptsEventStream(r.headersIn.Accept)) {
    refuse(r, 406, 'this is an event stream: send "Accept: text/event-stream"');
  } else {
    return true;
  }
  return false;
}

function allowOrigin(r: NginxHTTPRequest, origins: string | undefined): void {
  const origin = r.headersIn.Origin;
  if (!origins || !origin) {
    return;
  }
  const headers = r.headersOut;
  if (origins !== '*') {
    headers.Vary = 'Origin';
    if (origins.split(/[\s,]+/).indexOf(origin) < 0) {
      return;
    }
    headers['Access-Control-Allow-Credentials'] = 'true';
  }
  headers['Access-Control-Allow-Origin'] = origins === '*' ? '*' : origin;
  headers['Access-Control-Allow-Headers'] = 'Last-Event-ID, Authorization, Cache-Control';
}

/** True unless an Accept header excludes `text/event-stream`; of its ranges the most specific one counts. */
export function acceptsEventStream(accept: string | undefined): boolean {
  if (!accept || accept === 'text/event-stream' || accept === '*/*') {
    return true; // what nearly all clients send, without what the rest costs in memory
  }
  const ranges = accept.toLowerCase().split(',');
  const range = ['text/event-stream', 'text/*', '*/*']
    .map((type) => ranges.find((range) => range.split(';')[0]!.trim() === type))
    .find(Boolean);
  return !!range && !/;\s*q=0(\.0*)?\s*(;|$)/.test(range);
}
