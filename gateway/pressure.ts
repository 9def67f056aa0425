/**
 * Watermarks: when too much mail is on its way, or the disk is nearly full, new mail is told to come back
 * later (452), so that what was accepted still has room.
 */
import { REFUSALS, type Reply } from '../core/mail/reply.ts';
import { roomForMail } from '../core/runtime/room-for-mail.ts';
import type { Runtime } from '../core/runtime/runtime.ts';

export interface Pressure {
  refusal(): Reply | undefined;
  close(): Promise<void>;
}

const EVERY_MS = 1_000;

export function watchPressure({ config, database, metrics, log }: Runtime): Pressure {
  let queueFull = false;
  let diskFull = false;
  let failures = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> = look();

  async function look(): Promise<void> {
    const room = await roomForMail({ config, database }, failed);
    if (room.queueFull !== undefined) {
      failures = 0;
      queueFull = turn('backpressure', queueFull, room.queueFull);
    }
    if (room.diskFull !== undefined) diskFull = turn('disk', diskFull, room.diskFull);
    if (closed) return;
    timer = setTimeout(() => {
      round = look();
    }, EVERY_MS).unref();
  }

  /** Said once, and every ten minutes: a watermark that cannot be asked is no watermark. */
  function failed(err: unknown): void {
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
