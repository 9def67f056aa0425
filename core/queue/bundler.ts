/**
 * Turns a stream of ids into few bundles.
 *
 *   add(id) ──▶ waiting (a bounded set) ──at most one bundle a gap, one at a time──▶ send(ids)
 *                  ▲                                                                   │
 *                  └───────────────── put back while there is room ◀──────── failed ───┘
 *
 * An idle bundler sends within the same turn of the event loop. When sending fails it tries again
 * ever more slowly, and beyond `limit` waiting ids it drops what comes: memory stays flat.
 */
export interface BundlerOptions {
  send(ids: string[]): Promise<void>;
  /** Told of every failure, and how many ids were dropped because nothing more fits. */
  onFailure(error: unknown): void;
  onDrop(count: number): void;
  size: number;
  /** The least time between two bundles, asked before each. */
  gapMs?: () => number;
  limit?: number;
  longestPauseMs?: number;
}

const FIRST_PAUSE_MS = 100;

export class Bundler {
  readonly #options: Required<BundlerOptions>;
  readonly #waiting = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #sending: Promise<void> | undefined;
  #nextAt = 0;
  #failures = 0;
  #closed = false;

  constructor(options: BundlerOptions) {
    this.#options = { gapMs: () => 10, limit: 10_000, longestPauseMs: 2_000, ...options };
  }

  /** How many ids wait to be sent; those of a bundle on its way are not counted. */
  get waiting(): number {
    return this.#waiting.size;
  }

  add(ids: readonly string[]): void {
    let dropped = 0;
    for (const id of ids) {
      if (this.#closed || (this.#waiting.size >= this.#options.limit && !this.#waiting.has(id))) dropped += 1;
      else this.#waiting.add(id);
    }
    if (dropped > 0) this.#options.onDrop(dropped);
    this.#plan();
  }

  /** Sending works again (as far as the caller knows): no need to wait out the pause. */
  hurry(): void {
    this.#nextAt = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#plan();
  }

  /** Sends what waits, but for no longer than `withinMs`; what is left then is dropped. */
  async close(withinMs: number): Promise<void> {
    const deadline = Date.now() + withinMs;
    this.hurry();
    while ((this.#waiting.size > 0 || this.#sending) && this.#failures === 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    this.#closed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    if (this.#waiting.size > 0) this.#options.onDrop(this.#waiting.size);
    this.#waiting.clear();
  }

  #plan(): void {
    if (this.#closed || this.#sending || this.#timer || this.#immediate || this.#waiting.size === 0) return;
    const pause = this.#nextAt - performance.now();
    if (pause > 0) this.#timer = setTimeout(() => this.#begin(), Math.ceil(pause));
    else this.#immediate = setImmediate(() => this.#begin());
  }

  #begin(): void {
    this.#timer = undefined;
    this.#immediate = undefined;
    const ids = this.#take();
    this.#nextAt = performance.now() + this.#options.gapMs();
    this.#sending = this.#send(ids).finally(() => {
      this.#sending = undefined;
      this.#plan();
    });
  }

  async #send(ids: string[]): Promise<void> {
    try {
      await this.#options.send(ids);
      this.#failures = 0;
    } catch (error) {
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, this.#options.longestPauseMs);
      this.#failures += 1;
      this.#nextAt = performance.now() + pause;
      this.#options.onFailure(error);
      this.add(ids);
    }
  }

  #take(): string[] {
    const ids: string[] = [];
    for (const id of this.#waiting) {
      ids.push(id);
      this.#waiting.delete(id);
      if (ids.length === this.#options.size) break;
    }
    return ids;
  }
}
