/** The submission listeners (RFC 6409): programs that log in, each in the name of its own mailbox. */
import { type Address, sameAddress } from '../core/mail/address.ts';
import type { Facts } from '../core/mail/facts.ts';
import { REFUSALS, type Reply, SmtpRefusal } from '../core/mail/reply.ts';
import type { Config } from '../core/runtime/config.ts';
import { type Recently, recently } from '../core/runtime/recently.ts';
import type { Database } from '../core/store/database.ts';
import { type Login, readLogin } from '../core/store/logins.ts';
import type { Revocations, Watch } from '../core/store/revocations.ts';
import type { Suppressed } from '../core/store/suppressed.ts';
import type { AcceptDoor } from './accept.ts';
import { readControl } from './control-headers.ts';
import type { Credentials } from './credentials.ts';
import type { Answer, Door, DoorKind, Transaction, Visit } from './door.ts';
import { inspect } from './inspect.ts';
import { isOwnReversePath } from './own-addresses.ts';
import { suppressionAnswer } from './suppression.ts';

export interface SubmissionHouse {
  config: Config;
  database: Database;
  acceptDoor: AcceptDoor;
  credentials: Credentials;
  revocations: Revocations;
  suppressed: Suppressed;
}

type Logins = Recently<Login | undefined>;

/** Both submission listeners; they differ in when TLS begins. */
export function submissionDoor(house: SubmissionHouse, listener: 'submission' | 'submissions'): DoorKind {
  const logins = recently((id: string) => readLogin(house.database.pool, id));
  const inClear = house.config.submission.allow_plaintext_auth_from_loopback;
  return {
    listener,
    strict: false,
    offersLogin: ({ secure, clientAddress }) => secure || (inClear && isLoopback(clientAddress)),
    open: (visit) => new SubmissionDoor(house, logins, visit),
  };
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

class SubmissionDoor implements Door {
  readonly #house: SubmissionHouse;
  readonly #logins: Logins;
  readonly #visit: Visit;
  #login: Login | undefined;
  #watch: Watch | undefined;

  constructor(house: SubmissionHouse, logins: Logins, visit: Visit) {
    this.#house = house;
    this.#logins = logins;
    this.#visit = visit;
  }

  greet(): undefined {}

  async login(username: string, password: string): Promise<Reply | undefined> {
    const { credentials, revocations } = this.#house;
    const since = revocations.moment();
    const found = await credentials.check(this.#visit.clientAddress, username, password);
    if ('code' in found) return found;
    this.#watch?.stop();
    this.#watch = revocations.watch(found.id, since);
    this.#login = found;
    return undefined;
  }

  closed(): void {
    this.#watch?.stop();
  }

  ready(): Reply | undefined {
    if (this.#visit.user !== undefined) return undefined;
    const { allow_plaintext_auth_from_loopback: inClear } = this.#house.config.submission;
    const mayLogIn = this.#visit.secure || (inClear && isLoopback(this.#visit.clientAddress));
    return mayLogIn ? REFUSALS.authRequired : REFUSALS.tlsRequired;
  }

  /** The login is looked at again for each message: one revoked a moment ago sends no more. */
  mail({ reversePath }: Transaction): Answer {
    if (this.#watch?.ended()) return REFUSALS.authInvalid;
    const known = this.#logins.ask(this.#login!.id);
    if (known instanceof Promise) return known.then((login) => this.#mayMail(login, reversePath));
    return this.#mayMail(known, reversePath);
  }

  rcpt(forwardPath: Address): Answer {
    return suppressionAnswer(this.#house.suppressed, forwardPath);
  }

  async accept(received: Buffer, transaction: Transaction): Promise<string[]> {
    const { config, acceptDoor } = this.#house;
    const login = this.#login!;
    if (this.#watch?.ended()) throw new SmtpRefusal(REFUSALS.authInvalid);
    const inspected = inspect(received, {
      hostname: config.hostname,
      limits: config.limits,
      sender: 'submission',
      smtputf8: transaction.smtputf8,
    });
    if ('code' in inspected) throw new SmtpRefusal(inspected);
    if (!speaksForItself(inspected.facts, login.address)) throw new SmtpRefusal(REFUSALS.fromNotOwned);
    const control = readControl(inspected.facts, new Date());
    if ('code' in control) throw new SmtpRefusal(control);
    if (control.requestedMode === 'read_only') throw new SmtpRefusal(REFUSALS.readOnly);
    return acceptDoor.accept({
      source: 'submission',
      visit: this.#visit,
      transaction,
      received,
      inspected,
      destinations: [{ mailboxId: login.mailboxId, forwardPaths: transaction.forwardPaths }],
      composerId: login.principalId,
      actor: { type: 'login', id: login.id, name: login.username },
      control,
    });
  }

  #mayMail(login: Login | undefined, reversePath: Address | ''): Reply | undefined {
    if (login === undefined || login.revoked) return REFUSALS.authInvalid;
    this.#login = login;
    if (!login.mailboxActive) return REFUSALS.mailboxDisabled;
    if (login.sendingDisabled) return REFUSALS.sendingDisabled;
    if (login.mode === 'read_only') return REFUSALS.readOnly;
    return isOwnReversePath(reversePath, login.address) ? undefined : REFUSALS.senderNotOwned;
  }
}

/** RFC 6409 §6.1: what readers see as the author, and as the sender, is the mailbox itself. */
function speaksForItself({ from, sender }: Facts, mailbox: string): boolean {
  return [...from, ...sender].every(({ address }) => sameAddress(address, mailbox));
}
