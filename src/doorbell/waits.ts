/**
 * The questions that are held, by the socket that asked them, and under which id: whoever answers one takes it out. What is not
 * repeated is forgotten (the zone's timeout): nobody waits for its answer any more, and nginx would log it as an error. So are
 * the names of resolvers.
 */
const waits = ngx.shared.sse_waits as NgxSharedDict<number>;

const MANY = 1000000;

export interface Wait {
  name: string;
  id: number;
}

/** @param socket the port of a resolver's socket. */
export function keepWait(socket: string, { name, id }: Wait): void {
  waits.set(socket + ' ' + name, id);
}

export function isKept(socket: string, name: string): boolean {
  return waits.has(socket + ' ' + name);
}

/** Returns whether there was one. */
export function takeWait(socket: string, name: string): boolean {
  return waits.pop(socket + ' ' + name) !== undefined;
}

/** All that the socket waits for. */
export function takeWaits(socket: string): Wait[] {
  const prefix = socket + ' ';
  const taken: Wait[] = [];
  for (const key of waits.keys(MANY)) {
    const id = key.startsWith(prefix) ? waits.pop(key) : undefined;
    if (id !== undefined) {
      taken.push({ name: key.slice(prefix.length), id });
    }
  }
  return taken;
}

/** Which socket a resolver asks from, by the name under which it was introduced. */
export function keepSocket(name: string, socket: string): void {
  waits.set(name, Number(socket));
}

export function socketOf(name: string): string | undefined {
  const socket = waits.get(name);
  return socket === undefined ? undefined : String(socket);
}
