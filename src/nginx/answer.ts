/** Answers with one line of JSON. */
export function answerJson(r: NginxHTTPRequest, status: number, value: object): void {
  r.headersOut['Content-Type'] = 'application/json';
  r.return(status, JSON.stringify(value) + '\n');
}

/** Refuses a request with one line that says what to do. */
export function refuse(r: NginxHTTPRequest, status: number, error: string): void {
  answerJson(r, status, { error });
}

/** Refuses a request for what is wrong with it; or, if that is '', with the configuration, which the error log tells. */
export function refuseWith(r: NginxHTTPRequest, error: string, otherwise: string): void {
  if (error === '') {
    r.error(`sse: ${otherwise}`);
  }
  refuse(r, error ? 400 : 403, error || 'no channel is set for you');
}

/** What `r.return()` throws when the client has left. */
const CLIENT_LEFT = 'failed to send response';

/**
 * Runs a handler; an exception becomes one line in the error log and a 500 that tells the client no more
 * than where to look. That the client has left is no error.
 */
export function guarded(r: NginxHTTPRequest, handle: () => void): void {
  try {
    handle();
  } catch (thrown) {
    const error = thrown as Error;
    if (error.message === CLIENT_LEFT) {
      return;
    }
    r.error(`sse: ${error.name === 'SettingError' ? error.message : `${error}\n${error.stack}`}`);
    refuse(r, 500, "njs-sse cannot serve this: nginx's error log says why");
  }
}
