/** Whether a process can do its work just now. Answers name parts of ours, never addresses or mail. */
import { pendingMigrations } from '../store/migrate.ts';
import { ping } from '../store/overview.ts';
import type { Runtime } from './runtime.ts';

export interface Readiness {
  /** Mail is accepted and sent without the queue, only later: the sweeper finds what no bell announced. */
  ready: boolean;
  checks: { database: 'ok' | 'failed'; schema: 'ok' | 'failed'; queue: 'ok' | 'degraded' };
}

const PATIENCE_MS = 2_000;

export async function readiness({
  database,
  bells,
}: Pick<Runtime, 'database' | 'bells'>): Promise<Readiness> {
  const [store, schema, queue] = await Promise.all([
    answersInTime(ping(database.pool).then(() => true)),
    answersInTime(pendingMigrations(database.url).then((pending) => pending.length === 0)),
    answersInTime(bells.healthy()),
  ]);
  return {
    ready: store && schema,
    checks: {
      database: store ? 'ok' : 'failed',
      schema: schema ? 'ok' : 'failed',
      queue: queue ? 'ok' : 'degraded',
    },
  };
}

/** False also when the answer fails or is late. */
export async function answersInTime(question: Promise<boolean>, patienceMs = PATIENCE_MS): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((done) => {
    timer = setTimeout(done, patienceMs, false);
  });
  return Promise.race([question.catch(() => false), late]).finally(() => clearTimeout(timer));
}
