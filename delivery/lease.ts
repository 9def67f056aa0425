/**
 * This process's hold on what it claims. The store's clock decides who is dead; here the time since the last
 * renewal that was *asked for* is measured on a clock that never steps, so that this process stops by itself
 * before anyone may declare it dead, also when it was stalled in between.
 */
import { newId } from '../core/mail/id.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { beginLease, endLease, renewLease } from '../core/store/leases.ts';

export interface Lease {
  /** The name under which claims are made now. */
  readonly worker: string;
  /** Whether what `worker` claimed may still be sent. */
  holds(worker: string): boolean;
  close(): Promise<void>;
}

export async function keepLease({ config, database, log }: Runtime): Promise<Lease> {
  const leaseSeconds = config.delivery.lease_seconds;
  const lane = database.lane('lease');
  let worker = newId();
  let until = 0;
  let renewing: Promise<void> | undefined;

  async function begin(): Promise<void> {
    const asked = performance.now();
    const id = newId();
    await beginLease(lane, { id, room: 'delivery', leaseSeconds });
    worker = id;
    until = asked + leaseSeconds * 1000;
  }

  async function renew(): Promise<void> {
    const asked = performance.now();
    try {
      if (await renewLease(lane, { id: worker, room: 'delivery', leaseSeconds })) {
        until = asked + leaseSeconds * 1000;
        return;
      }
      until = 0;
      log.warn(
        { worker },
        'declared dead while stalled: what it was sending is in doubt, it goes on under another name',
      );
      await begin();
    } catch (err) {
      log.warn({ err, worker }, 'the lease could not be renewed');
    }
  }

  await begin();
  const timer = setInterval(
    () => {
      renewing ??= renew().finally(() => {
        renewing = undefined;
      });
    },
    (leaseSeconds * 1000) / 3,
  );

  return {
    get worker() {
      return worker;
    },
    holds: (id) => id === worker && performance.now() < until,
    async close() {
      clearInterval(timer);
      await renewing;
      await endLease(lane, worker).catch((err: unknown) => log.warn({ err }, 'the lease could not be ended'));
      await lane.close();
    },
  };
}
