import { fitsOneLine, type ServerEvent, serialize } from '../event-stream/serialize.ts';

/** What a relay's functions get beside the event and the request. */
export interface Relay {
  /** Yours, for this one connection. (Module scope would be shared with others.) */
  state: Record<string, unknown>;
  /** Ends the response after what the function returns; the rest of the upstream's stream is dropped. */
  end(): void;
}

/**
 * How a relayed stream ended:
 * - `complete`: the upstream ended it;
 * - `ended`: relay.end() did;
 * - `failed`: a function threw or returned what is no event, or the stream exceeded a limit;
 * - `upstream`: the upstream broke off, or was silent for longer than proxy_read_timeout;
 * - `client`: the client left or was too slow, or nginx gave the request up for another reason.
 */
export type Reason = 'complete' | 'ended' | 'failed' | 'upstream' | 'client';

type Result = ServerEvent | ServerEvent[] | null | undefined | false;

/** The user's module, which the location imports as `relay`. */
export interface RelayModule {
  /** Gets each event. What it returns is sent instead: an event, several, or nothing. */
  onEvent(event: ServerEvent, r: NginxHTTPRequest, relay: Relay): Result;
  /**
   * If there is one: gets called once for each stream, however it ends. What it returns is sent last
   * if the reason is `complete` or `ended`. Otherwise it is dropped: nothing can be sent any more, or
   * it could make a broken stream look whole.
   */
  onEnd?: ((r: NginxHTTPRequest, relay: Relay, reason: Reason) => Result) | undefined;
}

/**
 * The functions of the location's module.
 * @throws Error that says what is wrong with it. An async function is refused before it is called:
 * once it waits for something, njs adds lines of its own to the error log.
 */
export function userFunctions(): RelayModule {
  const { relay } = globalThis as unknown as { relay?: Partial<RelayModule> };
  if (!relay) {
    throw new Error('no functions: put "js_import relay from <your file>;" into the location');
  }
  const { onEvent, onEnd } = relay;
  if (typeof onEvent !== 'function') {
    throw new Error('the module has no function onEvent: "export default { onEvent };" is missing in it');
  }
  if (onEnd !== undefined && typeof onEnd !== 'function') {
    throw new Error("the module's onEnd is no function");
  }
  refuseAsync('onEvent', onEvent);
  refuseAsync('onEnd', onEnd);
  return { onEvent, onEnd };
}

function refuseAsync(name: string, value: unknown): void {
  if (Object.prototype.toString.call(value) === '[object AsyncFunction]') {
    throw new Error(`${name} is async, but nginx's filters cannot wait: make it a plain function`);
  }
}

/**
 * Calls one of the user's functions, and gives what it returns in the wire format.
 * @throws Error, whose message is one line: what the function threw, and where; or what is wrong with
 * its result.
 */
export function callUser(name: string, call: () => unknown): string {
  const result = located(call);
  let text = '';
  for (const event of Array.isArray(result) ? result : [result]) {
    if (event !== null && event !== undefined && event !== false) {
      checkEvent(name, event);
      text += serialize(event);
    }
  }
  return text;
}

/** Puts the place into the message: the stack would be more lines in the error log. */
function located(call: () => unknown): unknown {
  try {
    return call();
  } catch (thrown) {
    const { message, stack } = Object(thrown) as Partial<Error>;
    const text = typeof message === 'string' ? message : `thrown: ${JSON.stringify(thrown)}`;
    const place = /[^\s()]+:\d+:\d+/.exec(stack ?? '');
    throw new Error(text.replace(/\s+/g, ' ') + (place ? ` (${place[0]})` : ''));
  }
}

function checkEvent(name: string, value: unknown): asserts value is ServerEvent {
  const { id, type, data, retry } = Object(value) as Partial<ServerEvent>;
  if (value instanceof Promise) {
    value.catch(() => {}); // or njs would log it as well
    throw new TypeError(
      `${name} returned a promise, but nginx's filters cannot wait: return the event itself`,
    );
  }
  if (typeof data !== 'string') {
    throw new TypeError(`${name} returned neither an event ({ data: "text" }), an array of events, nor null`);
  }
  if (!fitsOneLine(`${id ?? ''}${type ?? ''}`)) {
    throw new TypeError('an id or an event type cannot have NUL, CR or LF');
  }
  if (retry !== undefined && !(Number.isInteger(retry) && retry >= 0)) {
    throw new TypeError('a retry has to be a whole number of milliseconds');
  }
}
