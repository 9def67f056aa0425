/**
 * Says once that the queue server is away and once that it is back, however often it is noticed.
 */
import type { QueueLog } from './backend.ts';

export class Outage {
  readonly #log: QueueLog;
  #since: number | undefined;
  #dropped = 0;
  #quiet = false;

  constructor(log: QueueLog) {
    this.#log = log;
  }

  failed(error: unknown): void {
    if (this.#quiet) return;
    if (this.#since !== undefined) {
      this.#log.debug({ err: error }, 'the queue is still away');
      return;
    }
    this.#since = Date.now();
    this.#log.warn({ err: error }, 'the queue does not answer: bells wait, and the sweeper finds the rows');
  }

  dropped(count: number): void {
    this.#dropped += count;
  }

  over(): void {
    if (this.#since === undefined || this.#quiet) return;
    const seconds = Math.round((Date.now() - this.#since) / 1_000);
    this.#log.info({ seconds, dropped: this.#dropped }, 'the queue answers again');
    this.#since = undefined;
    this.#dropped = 0;
  }

  /** Connections are being closed on purpose: nothing that follows is news. */
  quiet(): void {
    this.#quiet = true;
  }
}
