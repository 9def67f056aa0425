/**
 * One SMTP session: the order of commands (RFC 5321 §4.1.4), its limits, and its one line in the log. What is
 * allowed is the door's to say.
 *
 *   greeting ─▶ EHLO ─┬─ STARTTLS ─▶ (EHLO again)
 *                     ├─ AUTH
 *                     └─▶ MAIL ─▶ RCPT … ─▶ DATA ─▶ content ─▶ 250 after commit ─▶ MAIL …
 */
import type { Logger } from 'pino';
import { REFUSALS, type Reply, SmtpRefusal } from '../core/mail/reply.ts';
import type { Metrics, SessionEnd } from '../core/runtime/metrics.ts';
import { BYE, GO_AHEAD, HELP, NO_PROMISE, OK, RECIPIENT_OK, SENDER_OK, whenAllowed } from './assents.ts';
import { type Budget, Collector } from './collector.ts';
import { type Command, isGreetingName, isOtherProtocol, isTooLong, readCommand } from './commands.ts';
import type { Answer, Door, DoorKind, Transaction, Visit } from './door.ts';
import { parseMail, parseRcpt } from './parameters.ts';
import { SessionRecord } from './session-record.ts';
import type { Guest, Wire } from './smtp-server-seams.ts';

export interface SessionLimits {
  message_bytes: number;
  recipients: number;
  errors: number;
  commands_idle: number;
  data_seconds: number;
  auth_failures_per_session: number;
}

/** What every session of this process shares. */
export interface SessionHouse {
  hostname: string;
  limits: SessionLimits;
  log: Logger;
  metrics: Metrics;
  memory: Budget;
  /** A reason to take no mail for now. */
  pressure: () => Reply | undefined;
}

/** RCPT beyond the limit that are still answered one by one. */
const EXCESS_RECIPIENTS = 1000;

type Next = () => void;

export class Session implements Guest {
  readonly visit: Visit;
  readonly #wire: Wire;
  readonly #kind: DoorKind;
  readonly #house: SessionHouse;
  readonly #door: Door;
  readonly #record: SessionRecord;
  #transaction: Transaction | undefined;
  #collector: Collector | undefined;
  #errors = 0;
  #loginFailures = 0;
  #sinceMail = 0;
  #excess = 0;
  #leaving = false;

  constructor(wire: Wire, kind: DoorKind, house: SessionHouse) {
    this.#wire = wire;
    this.#kind = kind;
    this.#house = house;
    this.visit = {
      listener: kind.listener,
      clientAddress: wire.clientAddress,
      ehlo: '',
      esmtp: false,
      secure: wire.secure,
      tls: undefined,
      user: undefined,
    };
    this.#door = kind.open(this.visit);
    this.#record = new SessionRecord(this.visit, house);
  }

  greet(): Reply | undefined {
    this.visit.tls = this.#wire.tls();
    const refusal = this.#door.greet();
    if (refusal !== undefined) this.#noteEnd(refusal, 'refused');
    return refusal;
  }

  command(line: Buffer, next: Next): void {
    const command = readCommand(line);
    if (isTooLong(line, command?.verb)) return this.overlong();
    this.#record.command();
    if (command === undefined) return this.#answer(REFUSALS.unknownCommand, next);
    if (isOtherProtocol(command)) return this.#hangUp(REFUSALS.wrongProtocol, 'refused');
    if (command.verb !== 'RCPT') this.#sinceMail += 1;
    const quits = command.verb === 'QUIT';
    if (this.#sinceMail > this.#house.limits.commands_idle && !quits)
      return this.#hangUp(REFUSALS.tooManyCommands, 'refused');
    this.#dispatch(command, line, next);
  }

  #dispatch(command: Command, line: Buffer, next: Next): void {
    switch (command.verb) {
      case 'EHLO':
      case 'HELO':
        return this.#hello(command, next);
      case 'MAIL':
        return this.#settle(this.#mail(command), SENDER_OK, next);
      case 'RCPT':
        return this.#settle(this.#rcpt(command), RECIPIENT_OK, next);
      case 'DATA':
        return this.#data(command, next);
      case 'RSET':
        this.#transaction = undefined;
        return this.#answer(command.rest === '' ? OK : REFUSALS.badParameter, next);
      case 'NOOP':
        return this.#answer(OK, next);
      case 'QUIT':
        return this.#hangUp(BYE, 'quit');
      case 'STARTTLS':
        return this.#startTls(command, next);
      case 'AUTH':
        return this.#auth(command, line, next);
      case 'VRFY': // nobody learns here who exists (RFC 5321 §7.3)
        return this.#answer(command.rest === '' ? REFUSALS.badParameter : NO_PROMISE, next);
      case 'HELP':
        return this.#answer(HELP, next);
      case 'BDAT': // its octets would follow, and must not be read as commands (RFC 3030)
        this.#answer(REFUSALS.notImplemented, () => {});
        return this.#hangUp(undefined, 'refused');
      case 'EXPN':
      case 'TURN':
      case 'ETRN':
      case 'XCLIENT':
      case 'XFORWARD':
        return this.#answer(REFUSALS.notImplemented, next);
      default:
        return this.#answer(REFUSALS.unknownCommand, next);
    }
  }

  #hello({ verb, rest }: Command, next: Next): void {
    if (!isGreetingName(rest, { strict: this.#kind.strict })) return this.#answer(REFUSALS.badGreeting, next);
    this.visit.ehlo = rest;
    this.visit.esmtp = verb === 'EHLO';
    this.#transaction = undefined;
    if (verb === 'HELO') this.#wire.sayLines(250, [this.#house.hostname]);
    else this.#wire.sayLines(250, [this.#house.hostname, ...this.#extensions()]);
    next();
  }

  #extensions(): string[] {
    const { visit } = this;
    return [
      'PIPELINING',
      `SIZE ${this.#house.limits.message_bytes}`,
      ...(visit.secure ? [] : ['STARTTLS']),
      ...(this.#kind.offersLogin(visit) && visit.user === undefined ? ['AUTH PLAIN LOGIN'] : []),
      'ENHANCEDSTATUSCODES',
      '8BITMIME',
      'SMTPUTF8',
    ];
  }

  #mail({ text }: Command): Answer {
    const { limits, pressure } = this.#house;
    if (this.visit.ehlo === '' || this.#transaction !== undefined) return REFUSALS.badSequence;
    const missing = this.#door.ready() ?? pressure();
    if (missing !== undefined) return missing;
    const authenticated = this.visit.user !== undefined;
    const parsed = parseMail(text, { maxSize: limits.message_bytes, authenticated });
    if (!parsed.ok) return parsed.reply;
    const { reversePath, smtputf8, body8bit } = parsed;
    const transaction: Transaction = { reversePath, forwardPaths: [], smtputf8, body8bit };
    return whenAllowed(this.#door.mail(transaction), () => {
      this.#transaction = transaction;
    });
  }

  #rcpt({ text }: Command): Answer {
    const { hostname, limits } = this.#house;
    const transaction = this.#transaction;
    if (transaction === undefined) return REFUSALS.badSequence;
    const parsed = parseRcpt(text, { smtputf8: transaction.smtputf8, hostname });
    if (!parsed.ok) return parsed.reply;
    const { forwardPath } = parsed;
    if (transaction.forwardPaths.includes(forwardPath)) return undefined;
    if (transaction.forwardPaths.length >= limits.recipients) return REFUSALS.tooManyRecipients;
    return whenAllowed(this.#door.rcpt(forwardPath, transaction), () => {
      transaction.forwardPaths.push(forwardPath);
    });
  }

  #data({ rest }: Command, next: Next): void {
    const transaction = this.#transaction;
    if (rest !== '') return this.#answer(REFUSALS.badParameter, next);
    if (transaction === undefined || transaction.forwardPaths.length === 0)
      return this.#answer(REFUSALS.badSequence, next);
    // Content before our 354 is somebody else's SMTP inside of ours (RFC 2920 §3.1).
    if (this.#kind.strict && this.#wire.hasMore) return this.#hangUp(REFUSALS.spokeTooEarly, 'refused');
    const pressure = this.#house.pressure();
    if (pressure !== undefined) return this.#answer(pressure, next);
    const { message_bytes: maxBytes, data_seconds: seconds } = this.#house.limits;
    const collector = new Collector({ maxBytes, seconds, budget: this.#house.memory });
    this.#collector = collector;
    this.#wire.receive({
      content: (chunk) => {
        if (!collector.push(chunk)) this.#hangUp(REFUSALS.idleTooLong, 'timeout');
      },
      end: (resume) => void this.#accept(collector, transaction, resume),
    });
    this.#wire.sayLines(354, GO_AHEAD);
    next();
  }

  async #accept(collector: Collector, transaction: Transaction, resume: Next): Promise<void> {
    this.#transaction = undefined;
    try {
      const message = collector.finish();
      if (!message.ok) return this.#answer(message.reply, resume);
      const ids = await this.#door.accept(message.raw, transaction);
      this.#record.accepted(ids);
      this.#sinceMail = 0;
      this.#answer({ code: 250, enhanced: '2.6.0', text: `Queued as ${ids[0]}` }, resume);
    } catch (err) {
      this.#answer(this.#replyTo(err), resume);
    } finally {
      collector.release();
      this.#collector = undefined;
    }
  }

  #startTls({ rest }: Command, next: Next): void {
    if (rest !== '') return this.#answer(REFUSALS.badParameter, next);
    if (this.visit.secure) return this.#answer(REFUSALS.badSequence, next);
    this.#wire.startTls(next);
  }

  #auth({ rest }: Command, line: Buffer, next: Next): void {
    if (this.#door.login === undefined) return this.#answer(REFUSALS.notImplemented, next);
    if (this.visit.ehlo === '' || this.visit.user !== undefined || this.#transaction !== undefined)
      return this.#answer(REFUSALS.badSequence, next);
    if (!this.#kind.offersLogin(this.visit)) return this.#answer(REFUSALS.authNeedsTls, next);
    if (!/^(PLAIN|LOGIN)( |$)/i.test(rest)) return this.#answer(REFUSALS.authMechanism, next);
    this.#wire.exchange(line, next);
  }

  async login(username: string, password: string): Promise<Reply | undefined> {
    try {
      const refusal = await this.#door.login!(username, password);
      if (refusal === undefined) this.visit.user = username;
      return refusal && this.#loginRefused(refusal);
    } catch (err) {
      this.#replyTo(err);
      return this.#loginRefused(REFUSALS.authUnavailable);
    }
  }

  loginBroke(): Reply {
    return this.#loginRefused(REFUSALS.authMalformed);
  }

  #loginRefused(refusal: Reply): Reply {
    this.#loginFailures += refusal.code === 454 ? 0 : 1;
    const enough = this.#loginFailures >= this.#house.limits.auth_failures_per_session;
    const reply = enough ? REFUSALS.authTooManyFailures : refusal;
    this.#record.refused(reply);
    if (enough) this.#record.ending('refused');
    return reply;
  }

  /** RFC 3207 §4.2: what was said in clear is forgotten. */
  secured(): void {
    this.visit.secure = true;
    this.visit.tls = this.#wire.tls();
    this.visit.ehlo = '';
    this.visit.user = undefined;
    this.#transaction = undefined;
  }

  idle(): void {
    this.#hangUp(REFUSALS.idleTooLong, 'timeout');
  }

  overlong(): void {
    this.#hangUp(REFUSALS.lineTooLong, 'refused');
  }

  strange(): void {
    this.#hangUp(undefined, 'refused');
  }

  /** The gateway closes: at once when the client waits for nothing, else behind the next reply. */
  leave(isWaiting: boolean): void {
    this.#leaving = true;
    if (isWaiting) this.#hangUp(REFUSALS.shuttingDown, 'shutdown');
  }

  closed(): void {
    this.#collector?.release();
    this.#door.closed?.();
    this.#record.close();
  }

  #settle(answer: Answer, ok: Reply, next: Next): void {
    if (!(answer instanceof Promise)) return this.#answer(answer ?? ok, next);
    answer.then(
      (reply) => this.#answer(reply ?? ok, next),
      (err: unknown) => this.#answer(this.#replyTo(err), next),
    );
  }

  #answer(reply: Reply, next: Next): void {
    if (reply.code >= 400) {
      this.#record.refused(reply);
      if (this.#isEnough(reply)) return this.#hangUp(REFUSALS.tooManyErrors, 'refused');
    }
    this.#wire.say(reply);
    if (reply.code === 421) return this.#hangUp(undefined, 'refused');
    if (this.#leaving) return this.#hangUp(REFUSALS.shuttingDown, 'shutdown');
    next();
  }

  /** Too many recipients is no error of a client that then sends to those it has (RFC 5321 §4.5.3.1.10). */
  #isEnough(reply: Reply): boolean {
    if (reply === REFUSALS.tooManyRecipients) return ++this.#excess > EXCESS_RECIPIENTS;
    return ++this.#errors >= this.#house.limits.errors;
  }

  #hangUp(reply: Reply | undefined, end: SessionEnd): void {
    this.#noteEnd(reply, end);
    this.#wire.hangUp(reply);
  }

  #noteEnd(reply: Reply | undefined, end: SessionEnd): void {
    if (reply !== undefined && reply.code >= 400) this.#record.refused(reply);
    this.#record.ending(end);
  }

  /** What nobody foresaw is logged, and the other side keeps the mail. */
  #replyTo(err: unknown): Reply {
    if (err instanceof SmtpRefusal) {
      if (err.cause !== undefined) this.#house.log.error({ err: err.cause }, 'mail could not be taken');
      return err.reply;
    }
    this.#house.log.error({ err }, 'an SMTP session failed');
    return REFUSALS.localError;
  }
}
