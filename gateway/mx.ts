/** The MX listener: mail from strangers, for mailboxes that exist, and for nothing and nobody else. */
import { type Address, domainOf } from '../core/mail/address.ts';
import { REFUSALS, type Reply, SmtpRefusal } from '../core/mail/reply.ts';
import type { Config } from '../core/runtime/config.ts';
import { recently } from '../core/runtime/recently.ts';
import type { Database } from '../core/store/database.ts';
import { findMailboxes, type Mailbox, mailboxDomains } from '../core/store/mailboxes.ts';
import type { AcceptDoor, Destination } from './accept.ts';
import type { Door, DoorKind, Transaction, Visit } from './door.ts';
import type { Identities } from './identities.ts';
import { type Inspected, inspect } from './inspect.ts';
import { mailboxKeys } from './own-addresses.ts';

export interface MxHouse {
  config: Config;
  database: Database;
  acceptDoor: AcceptDoor;
  identities: Identities;
}

/** Where mail for an address goes; a reply when nowhere. */
type Directory = (forwardPath: Address) => Promise<Mailbox | Reply>;

export function mxDoor(house: MxHouse): DoorKind {
  const directory = openDirectory(house.database);
  return {
    listener: 'mx',
    strict: true,
    offersLogin: () => false,
    open: (visit) => new MxDoor(house, directory, visit),
  };
}

function openDirectory({ pool }: Database): Directory {
  const mailboxes = recently(async (key: string) => {
    const keys = key.split(' ');
    const found = await findMailboxes(pool, keys);
    return keys.map((wanted) => found.find((one) => one.key === wanted)).find((one) => one !== undefined);
  });
  const domains = recently(async () => new Set(await mailboxDomains(pool)));
  return async (forwardPath) => {
    const mailbox = await mailboxes.ask(mailboxKeys(forwardPath).join(' '));
    // A mailbox that was closed is not told from one that never was.
    if (mailbox?.isActive === true) return mailbox;
    const ours = (await domains.ask('')).has(domainOf(forwardPath));
    return ours ? REFUSALS.userUnknown : REFUSALS.relayDenied;
  };
}

class MxDoor implements Door {
  readonly #house: MxHouse;
  readonly #directory: Directory;
  readonly #visit: Visit;
  /** Of the transaction under way. */
  #destinations = new Map<string, Destination>();

  constructor(house: MxHouse, directory: Directory, visit: Visit) {
    this.#house = house;
    this.#directory = directory;
    this.#visit = visit;
  }

  greet(): undefined {}

  ready(): undefined {}

  mail(): undefined {
    this.#destinations = new Map();
  }

  /** Refused now rather than by a report later: a forged sender would get that one (RFC 5321 §6.1). */
  async rcpt(forwardPath: Address): Promise<Reply | undefined> {
    const found = await this.#directory(forwardPath);
    if ('code' in found) return found;
    const destination = this.#destinations.get(found.id);
    if (destination === undefined)
      this.#destinations.set(found.id, { mailboxId: found.id, forwardPaths: [forwardPath] });
    else destination.forwardPaths.push(forwardPath);
    return undefined;
  }

  async accept(received: Buffer, transaction: Transaction): Promise<string[]> {
    const { config, acceptDoor, identities } = this.#house;
    const { hostname, limits } = config;
    const inspected = inspect(received, {
      hostname,
      limits,
      sender: 'stranger',
      smtputf8: transaction.smtputf8,
    });
    if ('code' in inspected) throw new SmtpRefusal(inspected);
    return acceptDoor.accept({
      source: 'mx',
      visit: this.#visit,
      transaction,
      received,
      inspected: await checked(identities, inspected),
      destinations: [...this.#destinations.values()],
      composerId: null,
      actor: { type: 'peer', id: null, name: this.#visit.clientAddress },
    });
  }
}

async function checked(identities: Identities, inspected: Inspected): Promise<Inspected> {
  try {
    return await identities(inspected);
  } catch (err) {
    throw new SmtpRefusal(REFUSALS.storeUnavailable, { cause: err });
  }
}
