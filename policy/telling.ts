/** Held mail, told to the room that writes to the people who oversee. */
import type { Runtime } from '../core/runtime/runtime.ts';
import { batcher } from '../core/store/batcher.ts';
import { HELD_AT_ONCE, tellHeld } from '../core/store/notifying.ts';

export interface Telling {
  held(messageId: string): void;
  close(): Promise<void>;
}

/** Gathers for a moment, so that a flood of held mail costs a few statements a second. Undefined: nobody wants to know. */
export function telling({
  config,
  database,
  log,
}: Pick<Runtime, 'config' | 'database' | 'log'>): Telling | undefined {
  if (!config.oversight.notices) return undefined;
  const waiting = batcher<string, void>({
    max: HELD_AT_ONCE,
    lingerMs: 250,
    async run(ids) {
      await tellHeld(database.pool, ids);
      return ids.map(() => undefined);
    },
  });
  return {
    held(messageId) {
      waiting.add(messageId).catch((err: unknown) => {
        log.warn({ err }, 'nobody was told of held mail: its notice comes with the next round');
      });
    },
    close: () => waiting.drain(),
  };
}
