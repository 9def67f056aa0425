/** Ids that wait for a place on a route: each once, in order of arrival, and not more than fit. */
export class Backlog {
  readonly #limit: number;
  readonly #ids = new Set<string>();

  constructor(limit = 20_000) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#ids.size;
  }

  /** What does not fit is dropped: its row is still there, and the sweeper rings again. */
  add(ids: readonly string[]): void {
    for (const id of ids) {
      if (this.#ids.size >= this.#limit) return;
      this.#ids.add(id);
    }
  }

  take(count: number): string[] {
    const taken: string[] = [];
    for (const id of this.#ids) {
      if (taken.length >= count) break;
      this.#ids.delete(id);
      taken.push(id);
    }
    return taken;
  }
}
