/** Where a redirect leads: to a path of the same server, which nginx proxies to as before, or to another URL. */
export type Target = { path: string; args: string } | { url: string };

/**
 * What a Location header means (RFC 9110, section 10.2.2).
 *
 * @param host host of the server that answered, with its port if that is not the scheme's own.
 * @param port port of the server that answered.
 * @param from the URL that answered if it was not the upstream's own, but one that a redirect led to.
 * @returns undefined for a Location that is no http or https URL, or relative to something unknown.
 */
export function redirectTarget(
  location: string,
  host: string,
  port: string,
  from: string | undefined,
): Target | undefined {
  if (/^\/(?!\/)/.test(location)) {
    return from === undefined
      ? splitPath(location)
      : { url: from.replace(/^(https?:\/\/[^/]+).*/, `$1${location}`) };
  }
  const match = /^(https?):\/\/(([^/?#:@]+|\[[^\]]+\])(?::([0-9]+))?)([/?][^#]*)?(#.*)?$/i.exec(location);
  if (!match) {
    return undefined;
  }
  const targetPort = match[4] || (match[1]!.toLowerCase() === 'https' ? '443' : '80');
  const path = match[5] || '/';
  if (
    from === undefined &&
    targetPort === port &&
    match[3]!.toLowerCase() === host.replace(/:[0-9]+$/, '').toLowerCase()
  ) {
    return splitPath(path.startsWith('/') ? path : `/${path}`);
  }
  return { url: location.replace(/#.*/, '') };
}

function splitPath(text: string): Target | undefined {
  const mark = text.indexOf('?');
  const path = mark < 0 ? text : text.slice(0, mark);
  try {
    return { path: decodeURI(path), args: mark < 0 ? '' : text.slice(mark + 1) };
  } catch {
    return undefined; // "%" that is no percent-encoding of UTF-8
  }
}
