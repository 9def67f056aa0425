/** What a session leaves behind: one line in the log, and its counts. */
import type { Logger } from 'pino';
import type { Reply } from '../core/mail/reply.ts';
import type { Metrics, SessionEnd } from '../core/runtime/metrics.ts';
import type { Visit } from './door.ts';

/** Ids named in the line; a client that sends for hours would make it endless. */
const NAMED = 50;

export class SessionRecord {
  readonly #visit: Visit;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #began = Date.now();
  #commands = 0;
  #accepted = 0;
  #ids: string[] = [];
  #refusals = 0;
  #refusal: Reply | undefined;
  #end: SessionEnd | undefined;

  constructor(visit: Visit, { log, metrics }: { log: Logger; metrics: Metrics }) {
    this.#visit = visit;
    this.#log = log;
    this.#metrics = metrics;
    metrics.openSessions(visit.listener, 1);
  }

  command(): void {
    this.#commands += 1;
  }

  accepted(ids: readonly string[]): void {
    this.#accepted += ids.length;
    if (this.#ids.length < NAMED) this.#ids.push(...ids.slice(0, NAMED));
  }

  refused(reply: Reply): void {
    this.#refusals += 1;
    this.#refusal = reply;
    this.#metrics.refused(this.#visit.listener, reply);
  }

  /** Why it ends; the first reason counts. */
  ending(end: SessionEnd): void {
    this.#end ??= end;
  }

  close(): void {
    const { listener, clientAddress, ehlo, user, tls } = this.#visit;
    const end = this.#end ?? 'dropped';
    this.#metrics.openSessions(listener, -1);
    this.#metrics.session(listener, end);
    const refusal = this.#refusal && `${this.#refusal.code} ${this.#refusal.enhanced}`;
    this.#log.info(
      {
        listener,
        client: clientAddress,
        ehlo,
        user,
        tls: tls?.version,
        end,
        commands: this.#commands,
        accepted: this.#accepted,
        refusals: this.#refusals,
        refusal,
        messages: this.#ids,
        ms: Date.now() - this.#began,
      },
      'session ended',
    );
  }
}
