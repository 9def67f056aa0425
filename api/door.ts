/** The one way mail composed over REST gets into the store: committed before the caller hears 202. */
import type { Runtime } from '../core/runtime/runtime.ts';
import { type Arrival, accepting, acceptWithin } from '../core/store/accept.ts';
import type { Batcher } from '../core/store/batcher.ts';
import { takeKey } from '../core/store/idempotency.ts';
import { countUnderway } from '../core/store/sweep.ts';
import { Problem } from './problem.ts';

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

const LOOK_EVERY_MS = 1_000;

export function openDoor({ config, database, contents, bells, metrics }: Runtime): Door {
  let batch: Batcher<Arrival, void> | undefined;
  let looked = 0;
  let full = false;

  /** The watermark of the SMTP doors: what was accepted already has to get out first. */
  async function refuseOverload(): Promise<void> {
    if (Date.now() - looked > LOOK_EVERY_MS) {
      looked = Date.now();
      const { queued_messages } = config.limits;
      full = (await countUnderway(database.pool, queued_messages)) >= queued_messages;
    }
    if (full)
      throw new Problem(
        503,
        'unavailable',
        'Too much mail is on its way just now; try again later.',
        {},
        { 'retry-after': '10' },
      );
  }

  const announce = ({ messages }: Arrival) => {
    metrics.accepted('rest', messages.length);
    bells.ring(
      'policy',
      messages.map(({ id }) => id),
    );
  };
  return {
    async accept(arrival) {
      await refuseOverload();
      batch ??= accepting(database, contents, (n) => metrics.batch('accept', n));
      await batch.add(arrival);
      announce(arrival);
    },
    async acceptOnce(arrival, request) {
      await refuseOverload();
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
