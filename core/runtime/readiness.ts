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
    holds(ping(database.pool).then(() => true)),
    holds(pendingMigrations(database.url).then((pending) => pending.length === 0)),
    holds(bells.healthy()),
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
async function holds(question: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((done) => {
    timer = setTimeout(done, PATIENCE_MS, false);
  });
  return Promise.race([question.catch(() => false), late]).finally(() => clearTimeout(timer));
}
