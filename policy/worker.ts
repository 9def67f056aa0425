/**
 * Takes bells and gives verdicts.
 *
 *   bell(ids) ─▶ waiting (a bounded set) ─▶ read up to 200 ─▶ decide each ─▶ one commit ─▶ ring delivery
 *                     ▲                                                          │
 *                     └────── rung meanwhile: the next read takes them ◀─────────┘
 *
 * One read and one commit are under way at a time, and each takes everything that came meanwhile: the busier
 * it gets, the larger the batches. Work is decided by the row, so a bell may ring twice, and two workers may be
 * given the same ids: the second finds nothing left to do.
 */
import type { Runtime } from '../core/runtime/runtime.ts';
import type { Arrived } from '../core/store/arrivals.ts';
import { type Batcher, isTheDatasFault } from '../core/store/batcher.ts';
import { type Case, type Ruling, readCases } from '../core/store/judging.ts';
import type { Lane } from '../core/store/lane.ts';
import { expire } from '../core/store/reviewing.ts';
import { decide, type Verdict } from './decide.ts';
import { rulingOf } from './ruling.ts';

export interface Ground extends Pick<Runtime, 'database' | 'bells' | 'log' | 'metrics'> {
  /** Is told of inbound mail that can be read from now on; it must not wait for anything. */
  arrived?(mail: Arrived): void;
  /** Is told of mail that is held from now on; nor may this wait. */
  held?(messageId: string): void;
}

export interface Judge {
  /** Takes ids to look at; never throws, and drops what does not fit (the sweeper rings again). */
  take(ids: readonly string[]): void;
  /** Waits until everything taken has been looked at. */
  drain(): Promise<void>;
}

const BATCH = 200;
const WAITING = 20_000;

export function judge(ground: Ground, rulings: Batcher<Ruling, boolean>): Judge {
  const lane = ground.database.lane('cases');
  const waiting = new Set<string>();
  let working: Promise<void> | undefined;

  async function work(): Promise<void> {
    while (waiting.size > 0) {
      const ids = takeSome(waiting);
      try {
        await judgeBatch(ground, lane, rulings, ids);
      } catch (err) {
        // The rows still say what is to be done, and the sweeper reads them.
        ground.log.error(
          { err, messages: ids.length },
          'messages could not be judged and wait for the sweeper',
        );
      }
    }
    working = undefined;
  }

  return {
    take(ids) {
      for (const id of ids) if (waiting.size < WAITING) waiting.add(id);
      if (waiting.size > 0) working ??= work();
    },
    async drain() {
      await working;
    },
  };
}

function takeSome(waiting: Set<string>): string[] {
  const ids: string[] = [];
  for (const id of waiting) {
    ids.push(id);
    waiting.delete(id);
    if (ids.length === BATCH) break;
  }
  return ids.sort();
}

async function judgeBatch(
  ground: Ground,
  lane: Lane,
  rulings: Batcher<Ruling, boolean>,
  ids: string[],
): Promise<void> {
  const cases = await readCases(lane, ids);
  const outcomes = await Promise.allSettled(cases.map((one) => judgeOne(ground, rulings, one)));
  const next = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (cases.length < ids.length) next.push(...(await expireAmong(ground, ids, cases)));
  ground.bells.ring('delivery', next);
  if (failed !== undefined) throw failed.reason;
}

/** When the verdict cannot be written: then a person has to look, or nobody ever would. */
const UNWRITTEN: Verdict = {
  step: 'hold',
  mode: 'gated_all',
  reasons: ['the verdict on this message could not be written to the store, so a person has to look at it'],
};

/**
 * Returns the ids that delivery has to look at now: the message, a copy of it, or the DSN it owes. A ruling that
 * the database refuses would be refused again at each bell, so the message is held instead.
 */
async function judgeOne(ground: Ground, rulings: Batcher<Ruling, boolean>, facts: Case): Promise<string[]> {
  try {
    return await rule(ground, rulings, facts, decide(facts));
  } catch (err) {
    if (!isTheDatasFault(err) && !(err instanceof TypeError)) throw err;
    ground.log.error({ err, message: facts.id }, 'the verdict cannot be written: held for review');
    return rule(ground, rulings, facts, UNWRITTEN);
  }
}

async function rule(
  ground: Ground,
  rulings: Batcher<Ruling, boolean>,
  facts: Case,
  verdict: Verdict,
): Promise<string[]> {
  const ruling = rulingOf(facts, verdict);
  // False: someone else moved it first, and their step counts.
  if (!(await rulings.add(ruling))) return [];
  ground.metrics.verdict(verdict.step);
  if (ruling.to === 'available') ground.arrived?.({ mailboxId: facts.mailboxId, id: facts.id });
  if (verdict.step === 'hold') {
    ground.held?.(facts.id);
    ground.log.info(
      { message: facts.id, mode: verdict.mode, reasons: verdict.reasons.length },
      'held for review',
    );
  }
  for (const copy of ruling.copies) if (copy.state === 'available') ground.arrived?.(copy);
  const copies = ruling.copies.filter(({ direction }) => direction === 'outbound').map(({ id }) => id);
  return [...(ruling.to === 'queued' || ruling.dsnOwed !== null ? [facts.id] : []), ...copies];
}

/** What waits for no verdict may be a hold whose time has passed. */
async function expireAmong(ground: Ground, ids: string[], cases: Case[]): Promise<string[]> {
  const judged = new Set(cases.map(({ id }) => id));
  const expired = await expire(
    ground.database,
    ids.filter((id) => !judged.has(id)),
  );
  for (const { id } of expired) {
    ground.metrics.verdict('expire');
    ground.log.info({ message: id }, 'expired: nobody decided in time');
  }
  return expired.filter(({ dsnOwed }) => dsnOwed).map(({ id }) => id);
}
