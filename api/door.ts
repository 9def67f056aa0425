/** The one way mail composed over REST gets into the store: committed before the caller hears 202. */
import type { Runtime } from '../core/runtime/runtime.ts';
import { type Arrival, accepting, acceptWithin } from '../core/store/accept.ts';
import type { Batcher } from '../core/store/batcher.ts';
import { takeKey } from '../core/store/idempotency.ts';

export interface Door {
  /** Resolves when the mail is committed. */
  accept(arrival: Arrival): Promise<void>;
  /**
   * The same under a key the caller chose: when the key stands for an earlier message already, nothing is
   * written and that message is returned.
   */
  acceptOnce(
    arrival: Arrival,
    request: { mailboxId: string; key: string; requestSha256: Buffer; messageId: string },
  ): Promise<{ messageId: string; same: boolean } | undefined>;
  close(): Promise<void>;
}

export function openDoor({ database, contents, bells, metrics }: Runtime): Door {
  let batch: Batcher<Arrival, void> | undefined;
  const announce = ({ messages }: Arrival) => {
    metrics.accepted('rest', messages.length);
    bells.ring(
      'policy',
      messages.map(({ id }) => id),
    );
  };
  return {
    async accept(arrival) {
      batch ??= accepting(database, contents, (n) => metrics.batch('accept', n));
      await batch.add(arrival);
      announce(arrival);
    },
    async acceptOnce(arrival, request) {
      const earlier = await database.transaction(async (db) => {
        const taken = await takeKey(db, request);
        if (taken === undefined) await acceptWithin(db, arrival);
        return taken;
      });
      if (earlier === undefined) announce(arrival);
      return earlier;
    },
    async close() {
      await batch?.drain();
    },
  };
}
