/**
 * Ids a room of this process was handed already, so that the job that follows does not hand them
 * over a second time. Two sets take turns: an id is forgotten after one to two turns, or earlier
 * when a set is full. Forgetting is harmless (the room asks the row), remembering for ever is not.
 */
export class Recent {
  readonly #turnMs: number;
  readonly #limit: number;
  #young = new Set<string>();
  #old = new Set<string>();
  #turnedAt: number;

  constructor({ turnMs = 15_000, limit = 50_000, now = Date.now() } = {}) {
    this.#turnMs = turnMs;
    this.#limit = limit;
    this.#turnedAt = now;
  }

  add(id: string, now: number = Date.now()): void {
    this.#turn(now);
    this.#young.add(id);
  }

  /** True once for an id that was added lately; the memory of it is used up. */
  take(id: string, now: number = Date.now()): boolean {
    this.#turn(now);
    const young = this.#young.delete(id);
    return this.#old.delete(id) || young;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  #turn(now: number): void {
    const age = now - this.#turnedAt;
    if (age < this.#turnMs && this.#young.size < this.#limit) return;
    this.#old = age < 2 * this.#turnMs ? this.#young : new Set();
    this.#young = new Set();
    this.#turnedAt = now;
  }
}
