import type { Wait } from './dns.ts';

/**
 * The questions that are held, by the socket that asked them, and under which id: who answers one takes it, and what was just answered is marked. What is not
 * repeated is forgotten (the zone's timeout): nobody waits for its answer any more, and nginx would log it as an error. So are
 * the names of resolvers, and which of them are connected.
 */
const waits = ngx.shared.sse_waits as NgxSharedDict<number>;

const MANY = 1000000;
/** The zone's timeout, in milliseconds. */
const KEEP = 7000;
/** By such a name a resolver is introduced (channel/pass.ts). */
export const HELLO = '.hello.sse';
/**
 * nginx repeats a question every 5 s until it is answered. A repetition that crosses the answer must not be answered again:
 * nginx would log an error. One that is heard later than that, in milliseconds, means that the answer was lost.
 */
export const CROSSING = 1000;
/** Ids have sixteen bits: the time of an answer fits beside, in tenths of a second. */
const IDS = 65536;
const TICK = 100;
/** For how long it is known what was answered, in milliseconds: longer than a question has to wait for its resolver to be introduced, if no introduction is lost. */
export const KEEP_ANSWERED = 5000;

/** @param socket the port of a resolver's socket. */
export function keepWait(socket: string, { name, id }: Wait): void {
  waits.set(keyOf(socket, name), id);
}

/**
 * What most repetitions need: if it is kept under this id it stays so, and nothing else is to be known. Returns whether it is. In one
 * step: another worker may answer it at this moment, and then it is not to be kept.
 */
export function renewWait(key: string, id: number): boolean {
  return waits.incr(key, 0, -1, KEEP) === id;
}

export function isKept(socket: string, name: string): boolean {
  return waits.get(keyOf(socket, name))! >= 0;
}

/** Returns the id to answer under; undefined if there is nothing to answer. */
export function takeWait(socket: string, name: string): number | undefined {
  const key = keyOf(socket, name);
  // One that is forgotten would be counted down, too; and others may take the same at this moment.
  if (!(waits.get(key)! >= 0)) {
    return undefined;
  }
  const answered = IDS * Math.floor(Date.now() / TICK);
  const id = waits.incr(key, -answered, -1, KEEP_ANSWERED) + answered;
  return id >= 0 ? id : undefined;
}

/** How long ago this question was answered, in milliseconds; Infinity if that was longer ago than `KEEP_ANSWERED`, or never. */
export function sinceAnswered(socket: string, { name, id }: Wait): number {
  const taken = waits.get(keyOf(socket, name));
  const answered = taken === undefined ? 0 : (id - taken) / IDS;
  return answered > 0 && answered % 1 === 0 ? Date.now() - answered * TICK : Infinity;
}

/** All that the socket waits for. */
export function waitsOf(socket: string): Wait[] {
  const prefix = keyOf(socket, '');
  const found: Wait[] = [];
  for (const key of waits.keys(MANY)) {
    const id = key.startsWith(prefix) ? waits.get(key)! : -1;
    if (id >= 0) {
      found.push({ name: key.slice(prefix.length), id });
    }
  }
  return found;
}

/** Which socket a resolver asks from, by the name under which it was introduced. */
export function keepSocket(name: string, socket: string): void {
  waits.set(name, Number(socket));
}

export function socketOf(name: string): string | undefined {
  const socket = waits.get(name);
  return socket === undefined ? undefined : String(socket);
}

/** Whether the resolver that asks from there has a connection (doorbell-connection.ts). */
export function isConnected(socket: string): boolean {
  return waits.has(socket);
}

export function keepConnection(socket: string): void {
  waits.set(socket, 1);
}

export function keyOf(socket: string, name: string): string {
  return socket + ' ' + name;
}
