/** What the bells count. Without a registry it is counted for nobody. */
import { Counter, Gauge, Registry } from 'prom-client';
import { QUEUES, type QueueName } from './jobs.ts';

export interface BellMetrics {
  rung(queue: QueueName, ids: number): void;
  job(queue: QueueName): void;
  dropped(queue: QueueName, ids: number): void;
  watchWaiting(count: (queue: QueueName) => number): void;
}

export function bellMetrics(registry: Registry = new Registry()): BellMetrics {
  const shared = { labelNames: ['queue'], registers: [registry] };
  const rung = new Counter({ name: 'postern_bells_rung_total', help: 'Message ids rung', ...shared });
  const jobs = new Counter({ name: 'postern_bell_jobs_total', help: 'Jobs made of them', ...shared });
  const dropped = new Counter({
    name: 'postern_bells_dropped_total',
    help: 'Message ids left to the sweeper because the queue was away',
    ...shared,
  });
  return {
    rung: (queue, ids) => rung.inc({ queue }, ids),
    job: (queue) => jobs.inc({ queue }),
    dropped: (queue, ids) => dropped.inc({ queue }, ids),
    watchWaiting: (count) => {
      new Gauge({
        name: 'postern_bells_waiting',
        help: 'Message ids that wait for the queue',
        ...shared,
        collect() {
          for (const queue of QUEUES) this.set({ queue }, count(queue));
        },
      });
    },
  };
}
