const SLASH = 47;
const COMMA = 44;

/** What `$sse_channel` is where nobody has set it (nginx/sse/http.conf). */
export const NOT_SET = 'the last segment of the path';

/**
 * The channels that a request names, in `$sse_channel` or, where that is not set, in the last segment of its path: up to 64
 * names with commas between them, each of 1 to 128 characters without commas, white space and control characters.
 *
 * @returns the names, each once; undefined for a text that does not name channels. A setting that is empty names none: it is
 * mostly a variable that should tell which channel a client may use.
 */
export function parseChannels(setting: string | undefined, path: string): string[] | undefined {
  const text = setting === NOT_SET ? lastSegment(path) : setting || '';
  let plain = 0;
  for (let code = text.charCodeAt(0); code > 32 && code < 127 && code !== COMMA; ) {
    plain++;
    code = text.charCodeAt(plain);
  }
  if (plain === text.length && plain > 0 && plain <= 128) {
    return [text]; // as most often, without what a pattern costs
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (!/^[^\s,\x00-\x1f\x7f]{1,128}(?:,[^\s,\x00-\x1f\x7f]{1,128}){0,63}$/.test(text)) {
    return undefined;
  }
  return text.indexOf(',') < 0
    ? [text]
    : text.split(',').filter((name, i, names) => names.indexOf(name) === i);
}

/** Without `lastIndexOf`: each function of the language costs a request of the njs engine some 300 bytes. */
function lastSegment(path: string): string {
  let start = path.length;
  while (start > 0 && path.charCodeAt(start - 1) !== SLASH) {
    start--;
  }
  return path.slice(start);
}

/** What is wrong with a request that names no channels; '' where nobody has said which it may use. */
export function channelError(setting: string | undefined): string {
  return setting
    ? 'invalid channel: ' +
        (setting === NOT_SET ? NOT_SET : '$sse_channel') +
        ' must be 1 to 64 names, separated by commas, of 1 to 128 characters without spaces'
    : '';
}

/** For the error log. */
export const EMPTY_CHANNEL =
  '$sse_channel is empty: set it for every request that is let in; "set" runs before auth_request, so take what that ' +
  'tells with "auth_request_set $sse_channel ...;"';
