/**
 * What keeps a dead next hop from costing anything.
 *
 *   closed ──`tolerance` failures in a row──▶ open ──after a pause──▶ one may try ──▶ closed, or open for longer
 */
export interface BreakerOptions {
  tolerance?: number;
  firstMs?: number;
  longestMs?: number;
  now?: () => number;
}

export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #failures = 0;
  #openUntil = 0;
  #trying = false;

  constructor(options: BreakerOptions = {}) {
    this.#options = {
      tolerance: 3,
      firstMs: 5_000,
      longestMs: 300_000,
      now: () => performance.now(),
      ...options,
    };
  }

  get open(): boolean {
    return this.#failures >= this.#options.tolerance;
  }

  /** How long until one may try; 0 when it may be now, or when nothing stands in the way. */
  get waitMs(): number {
    return this.open ? Math.max(0, this.#openUntil - this.#options.now()) : 0;
  }

  /** True for one caller when the pause is over; it must end in `worked`, `failed` or `tried`. */
  tryOne(): boolean {
    if (!this.open || this.#trying || this.waitMs > 0) return false;
    this.#trying = true;
    return true;
  }

  /** The try came to nothing that says anything about the next hop. */
  tried(): void {
    this.#trying = false;
  }

  worked(): void {
    this.#failures = 0;
    this.#trying = false;
  }

  /** Failures while it is open already (of what was under way) do not lengthen the pause; a failed try does. */
  failed(): void {
    const { tolerance, firstMs, longestMs, now } = this.#options;
    if (this.open && !this.#trying) return;
    this.#trying = false;
    this.#failures += 1;
    if (!this.open) return;
    this.#openUntil = now() + Math.min(firstMs * 2 ** (this.#failures - tolerance), longestMs);
  }
}
