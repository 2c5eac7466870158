/** What njs has and njs-types 0.9.4 lacks. */

interface NjsGlobal {
  /** Since 0.8.6: which engine this is. */
  readonly engine?: 'QuickJS' | 'njs';
}

interface NginxStreamRequest {
  /** Sends to the client, from any handler of a js_filter. */
  sendDownstream(data: NjsStringOrBuffer, options?: NginxStreamSendOptions): void;
  /** Sends to the upstream. */
  sendUpstream(data: NjsStringOrBuffer, options?: NginxStreamSendOptions): void;
}

interface NginxHTTPRequest {
  /** Whether rewrite, try_files, error_page or a subrequest led to the location. */
  readonly internal: boolean;
}
