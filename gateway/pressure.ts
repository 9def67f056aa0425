/**
 * Watermarks: when too much mail is on its way, or the disk is nearly full, new mail is told to come back
 * later (452), so that what was accepted still has room.
 */
import { statfs } from 'node:fs/promises';
import { REFUSALS, type Reply } from '../core/mail/reply.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { countUnderway } from '../core/store/sweep.ts';

export interface Pressure {
  refusal(): Reply | undefined;
  close(): Promise<void>;
}

const EVERY_MS = 1_000;

export function watchPressure({ config, database, metrics, log }: Runtime): Pressure {
  const { queued_messages, free_disk_bytes } = config.limits;
  let queueFull = false;
  let diskFull = false;
  let failures = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> = look();

  async function look(): Promise<void> {
    const [underway, free] = await Promise.all([
      countUnderway(database.pool, queued_messages).catch(failed),
      freeBytes(config.data_dir),
    ]);
    if (underway !== undefined) failures = 0;
    if (underway !== undefined) queueFull = turn('backpressure', queueFull, underway >= queued_messages);
    if (free !== undefined) diskFull = turn('disk', diskFull, free < free_disk_bytes);
    if (closed) return;
    timer = setTimeout(() => {
      round = look();
    }, EVERY_MS).unref();
  }

  /** Said once, and every ten minutes: a watermark that cannot be asked is no watermark. */
  function failed(err: unknown): undefined {
    if (failures % 600 === 0) log.warn({ err }, 'the mail on its way cannot be counted');
    failures += 1;
  }

  function turn(kind: 'backpressure' | 'disk', was: boolean, is: boolean): boolean {
    if (was !== is) {
      metrics.alarm(kind, is);
      log.warn({ kind, on: is }, is ? 'no new mail is taken for now' : 'mail is taken again');
    }
    return is;
  }

  return {
    refusal: () => (queueFull || diskFull ? REFUSALS.overloaded : undefined),
    async close() {
      closed = true;
      clearTimeout(timer);
      await round;
    },
  };
}

/** Undefined where the folder does not exist: then nothing of ours is kept there. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
