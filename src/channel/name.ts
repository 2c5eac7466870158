const SLASH = 47;
const COMMA = 44;

/**
 * The channels that a request names, in `$sse_channel` or else in the last segment of its path: up to 64
 * names with commas between them, each of 1 to 128 characters without commas, white space and control characters.
 *
 * @returns the names, each once; undefined for a text that does not name channels.
 */
export function parseChannels(setting: string | undefined, path: string): string[] | undefined {
  const text = setting || lastSegment(path);
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

export const BAD_CHANNELS =
  'end the path with a channel, or up to 64 (a,b), of 1 to 128 characters without white space';
