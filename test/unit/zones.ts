/** Stands in for nginx's shared dictionaries. To be imported before anything that uses them. */

class Dictionary<V> {
  readonly capacity = 1048576;
  free = 1000000;
  readonly entries = new Map<string, V>();

  freeSpace(): number {
    return this.free;
  }
  keys(): string[] {
    return [...this.entries.keys()];
  }
  get(key: string): V | undefined {
    return this.entries.get(key);
  }
  has(key: string): boolean {
    return this.entries.has(key);
  }
  set(key: string, value: V): void {
    this.entries.set(key, value);
  }
  delete(key: string): boolean {
    return this.entries.delete(key);
  }
  pop(key: string): V | undefined {
    const value = this.entries.get(key);
    this.entries.delete(key);
    return value;
  }
  add(key: string, value: V): boolean {
    if (this.entries.has(key)) {
      return false;
    }
    this.entries.set(key, value);
    return true;
  }
}

class NumberDictionary extends Dictionary<number> {
  incr(key: string, delta: number, init = 0): number {
    const value = (this.entries.get(key) ?? init) + delta;
    this.entries.set(key, value);
    return value;
  }
}

/** Forgets, as if it had `timeout=7s`. */
class ForgetfulDictionary extends NumberDictionary {
  private readonly ends = new Map<string, number>();

  override keys(): string[] {
    return super.keys().filter((key) => this.has(key));
  }
  override has(key: string): boolean {
    return this.entries.has(key) && Date.now() < this.ends.get(key)!;
  }
  override get(key: string): number | undefined {
    return this.has(key) ? super.get(key) : undefined;
  }
  override set(key: string, value: number, timeout = 7000): void {
    this.ends.set(key, Date.now() + timeout);
    super.set(key, value);
  }
  /** As in njs, one that is forgotten goes on from its old value. */
  override incr(key: string, delta: number, init = 0, timeout = 7000): number {
    this.ends.set(key, Date.now() + timeout);
    return super.incr(key, delta, init);
  }
}

export const log = new Dictionary<string>();
export const counts = new NumberDictionary();
export const batches = new Dictionary<string>();
export const bellNumbers = new NumberDictionary();
export const waits = new ForgetfulDictionary();
export const warnings: string[] = [];

Object.assign(globalThis, {
  ngx: {
    shared: { sse_log: log, sse_count: counts, sse_batch: batches, sse_bells: bellNumbers, sse_waits: waits },
    WARN: 4,
    log: (_: number, message: string) => warnings.push(message),
  },
});
