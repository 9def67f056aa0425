/** What delivery owes a message beside attempts: word to its sender, and an answer to a doubt. */
import { system } from '../core/mail/actor.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { abandonDoubt, remindLater, stillInDoubt } from '../core/store/doubts.ts';
import type { Look } from '../core/store/routes.ts';
import { settleDoubt } from '../core/store/withdrawing.ts';
import { report } from './dsn.ts';
import { nextAttempt } from './retry.ts';

const HOUR = 3_600_000;
const REMIND_SECONDS = 4 * 3600;

export class Duties {
  readonly #runtime: Runtime;
  /** What the alarm was raised for. */
  readonly #doubtful = new Set<string>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  async perform(looks: readonly Look[]): Promise<void> {
    const doubts = looks.filter(({ state }) => state === 'in_doubt');
    if (doubts.length > 0) await this.#doubts(doubts);
    for (const { id, dsnOwed } of looks) {
      if (dsnOwed === null) continue;
      await report(this.#runtime, id).catch((err: unknown) =>
        this.#runtime.log.warn(
          { err, message: id },
          'a report could not be made now: the sweeper rings again',
        ),
      );
    }
  }

  /** Ends the alarm when everything it was raised for is settled. */
  async refresh(): Promise<void> {
    if (this.#doubtful.size === 0) return;
    const still = new Set(await stillInDoubt(this.#runtime.database.pool, [...this.#doubtful]));
    for (const id of this.#doubtful) if (!still.has(id)) this.#doubtful.delete(id);
    if (this.#doubtful.size === 0) this.#runtime.metrics.alarm('in_doubt', false);
  }

  /** Nothing in doubt is sent again unless the operator chose so. */
  async #doubts(looks: Look[]): Promise<void> {
    if (this.#runtime.config.delivery.in_doubt === 'retry') return this.#tryAgain(looks);
    const { database, log, metrics, config } = this.#runtime;
    const hours = config.delivery.give_up_after_hours;
    const end = Date.now() - hours * HOUR;
    const late = looks.filter(({ changedAt }) => changedAt.getTime() < end).map(({ id }) => id);
    const waiting = looks.map(({ id }) => id).filter((id) => !late.includes(id));
    if (late.length > 0) await this.#abandon(late);
    if (waiting.length === 0) return;
    const still = await remindLater(database.pool, waiting, REMIND_SECONDS);
    if (still === 0) return;
    for (const id of waiting) if (this.#doubtful.size < 1000) this.#doubtful.add(id);
    metrics.alarm('in_doubt', true);
    log.error(
      { messages: waiting },
      'in doubt: the next hop may or may not have these; settle each with retry, sent or failed',
    );
  }

  /** Once at once; then ever more slowly, because each time may be one more copy; undefined when its time is over. */
  #again({ queuedAt: since, attempts }: Look): Date | undefined {
    const { retry, give_up_after_hours: giveUpAfterHours } = this.#runtime.config.delivery;
    const now = new Date();
    const due = nextAttempt({ since, now, attempt: attempts - 1, giveUpAfterHours }, retry, Math.random());
    return due !== undefined && attempts <= 1 ? now : due;
  }

  async #abandon(ids: string[]): Promise<void> {
    const { database, bells } = this.#runtime;
    const ended = await abandonDoubt(database.pool, ids, 'it is not known whether it was delivered');
    bells.ring('delivery', ended);
  }

  async #tryAgain(looks: Look[]): Promise<void> {
    const { database, bells } = this.#runtime;
    const reason = 'delivery.in_doubt is retry';
    for (const look of looks) {
      const { id } = look;
      const again = this.#again(look);
      if (again === undefined) await this.#abandon([id]);
      else await settleDoubt(database, id, 'retry', system('delivery'), reason, again);
      if (again !== undefined && again.getTime() <= Date.now()) bells.ring('delivery', [id]);
    }
  }
}
