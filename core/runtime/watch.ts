/**
 * Whether database and queue server answer, asked now and then, for the alarms `database` and `redis`.
 *
 * Two looks in a row have to fail: one that comes late in a busy moment is no alarm.
 */
import { ping } from '../store/overview.ts';
import type { Alarm } from './metrics.ts';
import { answersInTime } from './readiness.ts';
import { type Rounds, startRounds } from './rounds.ts';
import type { Runtime } from './runtime.ts';

const EVERY_MS = 5_000;
const LOOKS = 2;

const WORDS = {
  database: 'the database does not answer: no mail is taken in, and none goes out',
  redis: 'Redis does not answer: mail goes on without it, only later (queue.url)',
} as const satisfies Partial<Record<Alarm, string>>;

export function startWatch(
  { bells, database, metrics, log }: Pick<Runtime, 'bells' | 'database' | 'metrics' | 'log'>,
  { everyMs = EVERY_MS, patienceMs }: { everyMs?: number; patienceMs?: number } = {},
): Rounds {
  const failures = { database: 0, redis: 0 };
  const note = (kind: keyof typeof WORDS, answers: boolean) => {
    const before = failures[kind];
    failures[kind] = answers ? 0 : before + 1;
    const is = failures[kind] >= LOOKS;
    if (is === before >= LOOKS) return;
    metrics.alarm(kind, is);
    if (is) log.error({ kind }, WORDS[kind]);
    else log.info({ kind }, `the alarm ${kind} is over`);
  };
  return startRounds(async () => {
    const [store, queue] = await Promise.all([
      answersInTime(
        ping(database.pool).then(() => true),
        patienceMs,
      ),
      // a queue in PostgreSQL is as well as that is
      bells.kind === 'redis' ? answersInTime(bells.healthy(), patienceMs) : true,
    ]);
    note('database', store);
    note('redis', queue);
  }, everyMs);
}
