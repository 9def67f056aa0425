/**
 * One route at work: ids wait in its backlog, are claimed a few at a time, and leave through its transport.
 *
 *   add ─▶ backlog ─claim─▶ under way (≤ 2 × capacity) ─▶ transport ─▶ settled
 *
 * Every route has its own, so that a dead or slow one keeps nothing but itself waiting.
 */
import type { Claim } from '../core/store/claiming.ts';
import type { PausedRoute } from '../core/store/overview.ts';
import { Backlog } from './backlog.ts';
import { Breaker } from './breaker.ts';
import type { Transport } from './transport.ts';

export interface WayOptions {
  name: string;
  transport: Transport;
  /** Takes those of `ids` that may be sent now. Never rejects. */
  claim: (ids: string[]) => Promise<Claim[]>;
  /** Makes one attempt and writes its end. Resolves when the connection is free again; never rejects. */
  attempt: (way: Way, claim: Claim) => Promise<void>;
  /** Hears which ids were not claimed. */
  onRest: (ids: string[]) => void;
  breaker?: Breaker;
}

export class Way {
  readonly name: string;
  readonly transport: Transport;
  readonly breaker: Breaker;
  /** Set while the store says that this route waits for a person. */
  paused: PausedRoute | undefined;
  readonly #options: WayOptions;
  readonly #backlog = new Backlog();
  #underWay = 0;
  #stopped = false;

  constructor(options: WayOptions) {
    this.#options = options;
    this.name = options.name;
    this.transport = options.transport;
    this.breaker = options.breaker ?? new Breaker();
  }

  get open(): boolean {
    return this.paused === undefined && !this.breaker.open;
  }

  get underWay(): number {
    return this.#underWay;
  }

  add(ids: readonly string[]): void {
    this.#backlog.add(ids);
    this.#pump();
  }

  /** Sends one message although the route is closed, to see whether it still is. */
  probe(id: string): void {
    this.#begin([id]);
  }

  /** What waits here, when it is better off elsewhere. */
  empty(): string[] {
    return this.#backlog.take(this.#backlog.size);
  }

  /** Claims nothing more. */
  stop(): void {
    this.#stopped = true;
    this.empty();
  }

  #pump(): void {
    const { capacity } = this.transport;
    // Refilled when half empty: a claim then carries many messages and costs little for each.
    if (this.#stopped || !this.open || this.#underWay > capacity) return;
    const ids = this.#backlog.take(2 * capacity - this.#underWay);
    if (ids.length > 0) this.#begin(ids);
  }

  #begin(ids: string[]): void {
    this.#underWay += ids.length;
    void this.#run(ids);
  }

  async #run(ids: string[]): Promise<void> {
    const claims = await this.#options.claim(ids);
    this.#underWay -= ids.length - claims.length;
    for (const claim of claims) void this.#attempt(claim);
    if (claims.length < ids.length) {
      const claimed = new Set(claims.map(({ id }) => id));
      this.#options.onRest(ids.filter((id) => !claimed.has(id)));
    }
    if (claims.length === 0) this.breaker.tried();
    this.#pump();
  }

  async #attempt(claim: Claim): Promise<void> {
    await this.#options.attempt(this, claim);
    this.#underWay -= 1;
    this.#pump();
  }
}
