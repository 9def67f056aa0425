import type { Room, Runtime } from '../core/runtime/runtime.ts';
import { type Arrived, announcing } from '../core/store/arrivals.ts';
import { notePolicy } from '../core/store/audit-subjects.ts';
import { ruling } from '../core/store/judging.ts';
import { policyInForce } from './fingerprint.ts';
import { telling } from './telling.ts';
import { judge } from './worker.ts';

/** Opens the policy room: from now on bells of `policy` are answered with verdicts. `close` finishes what it has taken. */
export async function startPolicy(runtime: Runtime): Promise<Room> {
  const { database, bells, metrics, log } = runtime;
  const { hash, rules } = policyInForce(runtime);
  await notePolicy(database.pool, hash, { rules });
  const rulings = ruling(database, (rows) => metrics.batch('rule', rows));
  const arrivals = announcing(database);
  const arrived = (mail: Arrived) => {
    arrivals.add(mail).catch((err: unknown) => log.warn({ err }, 'nobody was told of mail that arrived'));
  };
  const holds = telling(runtime);
  const judging = judge({ ...runtime, arrived, ...(holds && { held: holds.held }) }, rulings);
  const answering = bells.answer('policy', (ids) => judging.take(ids));
  return {
    async close() {
      await answering.close();
      await judging.drain();
      await rulings.drain();
      await arrivals.drain();
      await holds?.close();
    },
  };
}
