/**
 * How to leave a response without its end. A body filter that throws does so, but what it has output
 * for this chunk is lost with it. A subrequest that ends with status 499 (nginx: "client closed
 * request") does it a moment later: nginx terminates the whole request, and closes the connection to
 * the upstream. Over HTTP/1.1 the last chunk is missing then, and HTTP/2 resets the stream.
 */

/**
 * Terminates the request as soon as we return. Returns false if the subrequest might come to another
 * location, or past the lines of relay.conf that end it: it would be proxied then. That is so if the
 * location was not found by the URI alone (but by rewrite, try_files or error_page), or if a `break`
 * stands before relay.conf.
 */
export function cutOff(r: NginxHTTPRequest): boolean {
  const uri = r.variables.sse_relay_uri;
  if (r.internal || !uri || /[%?#]/.test(uri)) {
    return false;
  }
  r.variables.sse_relay_cut = '1'; // variables are shared with subrequests
  r.subrequest(uri, {
    detached: true,
    method: r.method as NonNullable<NginxSubrequestOptions['method']>,
    args: r.variables.args ?? '',
  });
  return true;
}
