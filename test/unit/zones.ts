/** Stands in for nginx's shared dictionaries. To be imported before anything that uses them. */

/** As njs does it: what has expired is not there any more for `get`, but is only removed when something is added. */
class Dictionary<V> {
  readonly capacity = 1048576;
  free = 1000000;
  readonly entries = new Map<string, V>();
  private readonly ends = new Map<string, number>();
  private readonly timeout: number;

  constructor(timeout: number) {
    this.timeout = timeout;
  }

  freeSpace(): number {
    return this.free;
  }
  keys(): string[] {
    return [...this.entries.keys()].filter((key) => this.has(key));
  }
  has(key: string): boolean {
    return this.entries.has(key) && Date.now() < (this.ends.get(key) ?? Infinity);
  }
  get(key: string): V | undefined {
    return this.has(key) ? this.entries.get(key) : undefined;
  }
  set(key: string, value: V, timeout = this.timeout): void {
    this.purge();
    this.put(key, value, timeout);
  }
  delete(key: string): boolean {
    this.ends.delete(key);
    return this.entries.delete(key);
  }
  clear(): void {
    this.entries.clear();
  }
  add(key: string, value: V, timeout = this.timeout): boolean {
    if (this.has(key)) {
      return false;
    }
    this.set(key, value, timeout);
    return true;
  }
  protected purge(): void {
    for (const key of this.entries.keys()) {
      if (!this.has(key)) {
        this.delete(key);
      }
    }
  }
  protected put(key: string, value: V, timeout: number): void {
    this.entries.set(key, value);
    this.ends.set(key, Date.now() + timeout);
  }
}

class NumberDictionary extends Dictionary<number> {
  /** One that has expired but was not removed goes on from its old value; without a timeout one keeps its own. */
  incr(key: string, delta: number, init = 0, timeout?: number): number {
    if (!this.entries.has(key)) {
      this.purge();
    }
    const old = this.entries.get(key);
    const value = (old ?? init) + delta;
    if (old === undefined || timeout) {
      this.put(key, value, timeout ?? HOUR);
    } else {
      this.entries.set(key, value);
    }
    return value;
  }
}

const HOUR = 3600000;

export const log = new Dictionary<string>(HOUR);
export const counts = new NumberDictionary(HOUR);
export const ids = new NumberDictionary(HOUR);
export const batches = new Dictionary<string>(1000);
export const bellNumbers = new NumberDictionary(15000);
export const waits = new NumberDictionary(7000);
export const upstreams = new Dictionary<string>(HOUR);
export const warnings: string[] = [];

Object.assign(globalThis, {
  ngx: {
    shared: {
      sse_log: log,
      sse_count: counts,
      sse_ids: ids,
      sse_batch: batches,
      sse_upstream: upstreams,
      sse_secret: new Dictionary<string>(HOUR),
      sse_bells: bellNumbers,
      sse_waits: waits,
    },
    WARN: 4,
    log: (_: number, message: string) => warnings.push(message),
  },
});
