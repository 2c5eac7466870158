// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const CHANNELS = /^[^\s,\x00-\x1f\x7f]{1,128}(?:,[^\s,\x00-\x1f\x7f]{1,128}){0,63}$/;

const COMMA = 44;

/**
 * The channels that a request names, in `$sse_channel` or else in the last segment of its path: up to 64
 * names with commas between them, each of 1 to 128 characters without commas, white space and control characters.
 *
 * @returns the names, each once; undefined for a text that does not name channels.
 */
export function parseChannels(setting: string | undefined, path: string): string[] | undefined {
  const text = setting || path.slice(path.lastIndexOf('/') + 1);
  let plain = 0;
  for (let code = text.charCodeAt(0); code > 32 && code < 127 && code !== COMMA; ) {
    plain++;
    code = text.charCodeAt(plain);
  }
  if (plain === text.length && plain > 0 && plain <= 128) {
    return [text]; // as most often, without what a pattern costs
  }
  if (!CHANNELS.test(text)) {
    return undefined;
  }
  return text.indexOf(',') < 0
    ? [text]
    : text.split(',').filter((name, i, names) => names.indexOf(name) === i);
}

export const BAD_CHANNELS =
  'end the path with a channel, or several (a,b), of 1 to 128 characters without white space';
