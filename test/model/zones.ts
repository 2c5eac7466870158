/**
 * Stands in for src/channel/zones.ts: shared dictionaries and a clock of our own, as njs has them. What has expired is not there
 * any more for `get`, but is only removed when something is added. Written for the njs engine, too.
 */

const HOUR = 3600000;

export const clock = { now: 60000000 };

/** What is done before the next event is written into the log; it may throw. */
export const hook: { beforeAdd: ((key: string, value: string) => void) | undefined } = {
  beforeAdd: undefined,
};

interface Entry<V> {
  value: V;
  end: number;
}

function createDictionary<V>(timeout: number) {
  let entries: Record<string, Entry<V>> = {};
  const dictionary = {
    capacity: 1048576,
    free: 1000000,
    freeSpace: () => dictionary.free,
    clear(): void {
      entries = {};
    },
    has: (key: string) => entries[key] !== undefined && clock.now < entries[key]!.end,
    get: (key: string) => (dictionary.has(key) ? entries[key]!.value : undefined),
    set(key: string, value: V, life?: number): void {
      if (entries[key] === undefined) {
        purge();
      }
      entries[key] = { value, end: clock.now + (life || timeout) };
    },
    delete(key: string): boolean {
      const had = entries[key] !== undefined;
      delete entries[key];
      return had;
    },
    add(key: string, value: V, life?: number): boolean {
      const before = hook.beforeAdd;
      if (before && typeof value === 'string' && value !== '') {
        hook.beforeAdd = undefined;
        before(key, value);
      }
      if (dictionary.has(key)) {
        return false;
      }
      dictionary.set(key, value, life);
      return true;
    },
    /** One that has expired but was not removed goes on from its old value; without a timeout one keeps its own. */
    incr(key: string, delta: number, init?: number, life?: number): number {
      const old = entries[key];
      if (old === undefined) {
        dictionary.set(key, ((init || 0) + delta) as V, life);
        return (init || 0) + delta;
      }
      old.value = ((old.value as number) + delta) as V;
      old.end = life ? clock.now + life : old.end;
      return old.value as number;
    },
  };
  return dictionary;

  function purge(): void {
    const keys = Object.keys(entries);
    for (let i = 0; i < keys.length; i++) {
      if (clock.now >= entries[keys[i]!]!.end) {
        delete entries[keys[i]!];
      }
    }
  }
}

export const counts = createDictionary<number>(HOUR);
export const ids = createDictionary<number>(HOUR);
export const log = createDictionary<string>(HOUR);
export const batches = createDictionary<string>(1000);

export function clearZones(): void {
  counts.clear();
  ids.clear();
  log.clear();
  batches.clear();
}

export function zoneFullError(): Error {
  return new Error('no room in the shared dict');
}

export function isZoneFull(thrown: unknown): boolean {
  return /shared dict/.test((thrown as Error).message);
}

export function requireZones(): void {}
