/** The one way mail composed by programs gets into the store: committed before the caller hears 202. */

import { withinAllowance } from '../../core/runtime/allowance.ts';
import { roomForMail } from '../../core/runtime/room-for-mail.ts';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { type Sending, type Sent, sending } from '../../core/store/accept-composed.ts';
import type { Batcher } from '../../core/store/batcher.ts';
import { Problem } from '../problem.ts';
import { sendsUsedUp } from './used-up.ts';

export interface Door {
  /** Resolves when the mail is committed, or with what stands in its place already. */
  send(one: Sending): Promise<Sent>;
  close(): Promise<void>;
}

const LOOK_EVERY_MS = 1_000;

export function openDoor({ config, database, contents, bells, metrics }: Runtime): Door {
  let batch: Batcher<Sending, Sent> | undefined;
  let looked = 0;
  let full = false;

  /** The watermarks of the SMTP doors: what was accepted already has to get out first. */
  async function refuseOverload(): Promise<void> {
    if (Date.now() - looked > LOOK_EVERY_MS) {
      looked = Date.now();
      const { queueFull, diskFull } = await roomForMail({ config, database });
      full = queueFull === true || diskFull === true;
    }
    if (full)
      throw new Problem(
        503,
        'unavailable',
        'Too much mail is on its way just now, or the disk is nearly full; try again later.',
        {},
        { 'retry-after': '10' },
      );
  }

  return {
    async send(one) {
      await refuseOverload();
      batch ??= sending(database, contents, (n) => metrics.batch('accept', n));
      const into = batch;
      const sent = await withinAllowance({ config, database }, () => into.add(one), {
        sent: ({ as }) => as === 'accepted',
        refuse: sendsUsedUp,
      });
      if (sent.as === 'accepted') {
        metrics.accepted('rest', 1);
        bells.ring('policy', [one.message.id]);
      }
      return sent;
    },
    async close() {
      await batch?.drain();
    },
  };
}
