/** What the three listeners have in common, as the session sees them. */
import type { Address } from '../core/mail/address.ts';
import type { Reply } from '../core/mail/reply.ts';
import type { Listener } from '../core/runtime/metrics.ts';

/** Who is here, and what they have asked for so far. Lives as long as the session. */
export interface Visit {
  readonly listener: Listener;
  readonly clientAddress: string;
  /** What the client called itself; `''` until it did. Anything a stranger likes: clean before use. */
  ehlo: string;
  /** EHLO was said, not HELO. */
  esmtp: boolean;
  secure: boolean;
  tls: { version: string; cipher: string } | undefined;
  /** The login, once there is one. */
  user: string | undefined;
}

/** One mail transaction (RFC 5321 §3.3). Paths are canonical; a recipient stands once. */
export interface Transaction {
  reversePath: Address | '';
  forwardPaths: Address[];
  smtputf8: boolean;
  body8bit: boolean;
}

export type Answer = Reply | undefined | Promise<Reply | undefined>;

/** The rules of one listener for one session. Undefined means: allowed. */
export interface Door {
  /** Asked before the greeting. */
  greet(): Reply | undefined;
  /** Only where logins are offered. */
  login?(username: string, password: string): Promise<Reply | undefined>;
  /** What has to come before MAIL, if it is missing. */
  ready(): Reply | undefined;
  mail(transaction: Transaction): Answer;
  rcpt(forwardPath: Address, transaction: Transaction): Answer;
  /** Resolves with the ids once they are committed; throws SmtpRefusal with the answer otherwise. */
  accept(raw: Buffer, transaction: Transaction): Promise<string[]>;
  /** The session is over. */
  closed?(): void;
}

/** What kind of listener it is. */
export interface DoorKind {
  listener: Listener;
  open: (visit: Visit) => Door;
  /** AUTH may be used on this connection, as it stands. */
  offersLogin: (visit: Visit) => boolean;
  /** Strangers: EHLO's syntax counts, and nothing may be sent ahead of our replies. */
  strict: boolean;
}
