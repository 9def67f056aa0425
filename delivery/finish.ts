/** The end of an attempt: written to the store, told to the log, counted, and heeded for the route. */
import type { Runtime } from '../core/runtime/runtime.ts';
import type { Claim } from '../core/store/claiming.ts';
import type { Outcome } from '../core/store/outcomes.ts';
import type { Attempt } from './attempt.ts';
import type { Closures } from './closures.ts';
import { outcomeOf, type Patience } from './outcome.ts';
import { countedFrom } from './retry.ts';
import type { Settler } from './settle.ts';
import type { Way } from './way.ts';

const ENDS = { relayed: 'relayed', queued: 'deferred', failed: 'failed', in_doubt: 'in_doubt' } as const;

export class Finisher {
  readonly #runtime: Runtime;
  readonly #settler: Settler;
  readonly #closures: Closures;
  readonly #patience: Patience;

  constructor(runtime: Runtime, settler: Settler, closures: Closures, patience: Patience) {
    this.#runtime = runtime;
    this.#settler = settler;
    this.#closures = closures;
    this.#patience = patience;
  }

  /** Resolves when the outcome is written, or known to be beyond us. */
  async finish(way: Way, claim: Claim, attempt: Attempt, ms: number): Promise<void> {
    const { report } = attempt;
    await this.#heed(way, attempt);
    const now = new Date();
    const since = countedFrom(claim.queuedAt, this.#closures.lastPause(way.name));
    const outcome = outcomeOf(claim, report, way.name, this.#patience, { now, since, random: Math.random() });
    this.#log(outcome, claim, ms);
    const written = await this.#settler.settle(outcome);
    if (written) this.#count(outcome, claim, now);
    else
      this.#runtime.log.error(
        { message: claim.id, outcome: outcome.to },
        'the claim was lost: outcome not written',
      );
    if (written && outcome.dsnOwed !== null) this.#runtime.bells.ring('delivery', [claim.id]);
  }

  /** What an attempt says about the route it took. */
  async #heed(way: Way, { sent, tampered, report: { trouble } }: Attempt): Promise<void> {
    const { metrics, log } = this.#runtime;
    if (tampered) metrics.alarm('content', true);
    const wasOpen = way.breaker.open;
    if (!sent) way.breaker.tried();
    else if (trouble === null) {
      way.breaker.worked();
      if (way.paused !== undefined) await this.#closures.resume(way);
      else if (wasOpen) await this.#closures.wake(way);
    } else if (trouble.kind === 'unreachable') {
      way.breaker.failed();
      if (!wasOpen && way.breaker.open)
        log.warn({ route: way.name, reason: trouble.reason }, 'next hop unreachable: its mail waits');
    } else {
      way.breaker.tried();
      await this.#closures.pause(way, trouble);
    }
  }

  #log(outcome: Outcome, claim: Claim, ms: number): void {
    const worst = outcome.recipients.find(({ status }) => status !== 'relayed') ?? outcome.recipients[0];
    this.#runtime.log.info(
      {
        message: claim.id,
        kind: claim.kind,
        route: outcome.route,
        next_hop: outcome.nextHop,
        attempt: claim.attempt,
        outcome: ENDS[outcome.to],
        code: worst?.code ?? null,
        enhanced: worst?.enhanced ?? null,
        reply: outcome.reply,
        recipients: outcome.recipients.length,
        ms: Math.round(ms),
      },
      'attempt',
    );
  }

  #count({ to, recipients }: Outcome, { createdAt }: Claim, now: Date): void {
    const { metrics } = this.#runtime;
    metrics.attempt(ENDS[to]);
    const byStatus = new Map<Outcome['recipients'][number]['status'], number>();
    for (const { status } of recipients) byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
    for (const [status, count] of byStatus) metrics.recipients(status, count);
    if (to === 'relayed') metrics.latency(Math.max(0, now.getTime() - createdAt.getTime()) / 1000);
  }
}
