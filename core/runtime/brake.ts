/**
 * The reputation brake, where the configuration has it: mail that fails again and again costs the sender's good name,
 * so first somebody is woken, and then all sending stops until a person allows it again.
 *
 *   looked at every few minutes ─┬─ > 2 % bounced ────────────────────────▶ alarm `reputation`
 *                                └─ > 5 % bounced, > 0.3 % complained ──▶ sending is disabled
 */
import { system } from '../mail/actor.ts';
import { type Fared, howMailFared, switchSending } from '../store/brake.ts';
import { type Rounds, startRounds } from './rounds.ts';
import type { Runtime } from './runtime.ts';

const EVERY_MS = 300_000;
const WINDOW_MS = 7 * 86_400_000;
/** Fewer messages say nothing. */
const FEWEST = 10;

export type Judgement = 'good' | 'bad' | { stop: string };

/** What to make of it. */
export function judgeReputation({ ended, bounced, complaints }: Fared): Judgement {
  if (ended < FEWEST) return 'good';
  if (bounced > 0.05 * ended) return { stop: 'more than 5 % of its mail could not be delivered' };
  if (complaints > 0.003 * ended) return { stop: 'more than 0.3 % of its mail was complained of' };
  return bounced > 0.02 * ended ? 'bad' : 'good';
}

/** Looks once. */
export async function lookAtReputation({
  database,
  metrics,
  log,
}: Pick<Runtime, 'database' | 'metrics' | 'log'>): Promise<void> {
  const fared = await howMailFared(database.pool, new Date(Date.now() - WINDOW_MS));
  const judgement = judgeReputation(fared);
  metrics.alarm('reputation', judgement !== 'good');
  if (judgement === 'good') return;
  if (judgement === 'bad') {
    log.warn(fared, 'more than 2 % of the mail of the last days could not be delivered');
    return;
  }
  const { stop: reason } = judgement;
  if (await switchSending(database.pool, { disabled: true, reason }, system('sweeper')))
    log.error({ ...fared, reason }, 'all sending was stopped');
}

/** Looks again and again where the configuration asks for it; elsewhere undefined. */
export function startBrake(
  house: Pick<Runtime, 'config' | 'database' | 'metrics' | 'log'>,
  { everyMs = EVERY_MS }: { everyMs?: number } = {},
): Rounds | undefined {
  if (!house.config.limits.reputation_brake) return undefined;
  return startRounds(async () => {
    try {
      await lookAtReputation(house);
    } catch (err) {
      house.log.warn({ err }, 'how mail fares cannot be looked at and will be tried again');
    }
  }, everyMs);
}
