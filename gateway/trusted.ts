/** The trusted listener: appliances that cannot log in, known by the network they are in. */
import { isIPv6 } from 'node:net';
import type { Address } from '../core/mail/address.ts';
import { mailboxKey } from '../core/mail/address.ts';
import { matchesPattern } from '../core/mail/pattern.ts';
import { REFUSALS, type Reply, SmtpRefusal } from '../core/mail/reply.ts';
import type { Config, TrustedNetwork } from '../core/runtime/config.ts';
import { blockListOf } from '../core/runtime/config-kinds.ts';
import { type Recently, recently } from '../core/runtime/recently.ts';
import { isSendingDisabled } from '../core/store/brake.ts';
import type { Database } from '../core/store/database.ts';
import { findMailboxes, type Mailbox } from '../core/store/mailboxes.ts';
import type { Suppressed } from '../core/store/suppressed.ts';
import type { AcceptDoor } from './accept.ts';
import type { Answer, Door, DoorKind, Transaction, Visit } from './door.ts';
import { inspect } from './inspect.ts';
import { suppressionAnswer } from './suppression.ts';

export interface TrustedHouse {
  config: Config;
  database: Database;
  acceptDoor: AcceptDoor;
  suppressed: Suppressed;
}

type Networks = (clientAddress: string) => TrustedNetwork | undefined;
type Sender = Mailbox & { sendingDisabled: boolean };
type Mailboxes = Recently<Sender | undefined>;

export function trustedDoor(house: TrustedHouse): DoorKind {
  const networks = networksOf(house.config.trusted.networks);
  const { pool } = house.database;
  const mailboxes = recently(async (key: string) => {
    const [[mailbox], sendingDisabled] = await Promise.all([
      findMailboxes(pool, [key]),
      isSendingDisabled(pool),
    ]);
    return mailbox && { ...mailbox, sendingDisabled };
  });
  return {
    listener: 'trusted',
    strict: false,
    offersLogin: () => false,
    open: (visit) => new TrustedDoor(house, networks, mailboxes, visit),
  };
}

/** The first network listed that the address belongs to. */
export function networksOf(networks: readonly TrustedNetwork[]): Networks {
  const lists = networks.map((network) => ({ network, list: blockListOf(network.cidrs) }));
  return (address) =>
    lists.find(({ list }) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'))?.network;
}

class TrustedDoor implements Door {
  readonly #house: TrustedHouse;
  readonly #visit: Visit;
  readonly #network: TrustedNetwork | undefined;
  readonly #mailboxes: Mailboxes;
  #mailbox: Mailbox | undefined;

  constructor(house: TrustedHouse, networks: Networks, mailboxes: Mailboxes, visit: Visit) {
    this.#house = house;
    this.#visit = visit;
    this.#mailboxes = mailboxes;
    this.#network = networks(visit.clientAddress);
  }

  greet(): Reply | undefined {
    return this.#network === undefined ? REFUSALS.clientNotAllowed : undefined;
  }

  ready(): undefined {}

  mail({ reversePath }: Transaction): Answer {
    const network = this.#network!;
    if (reversePath !== '' && !this.#maySend(reversePath)) return REFUSALS.senderNotOwned;
    const known = this.#mailboxes.ask(mailboxKey(network.mailbox));
    return known instanceof Promise ? known.then((one) => this.#use(one)) : this.#use(known);
  }

  rcpt(forwardPath: Address): Answer {
    return suppressionAnswer(this.#house.suppressed, forwardPath);
  }

  async accept(received: Buffer, transaction: Transaction): Promise<string[]> {
    const { config, acceptDoor } = this.#house;
    const network = this.#network!;
    const inspected = inspect(received, {
      hostname: config.hostname,
      limits: config.limits,
      sender: network.normalise ? 'legacy' : 'submission',
      smtputf8: transaction.smtputf8,
    });
    if ('code' in inspected) throw new SmtpRefusal(inspected);
    const { from, sender } = inspected.facts;
    if (![...from, ...sender].every(({ address }) => this.#maySend(address as Address)))
      throw new SmtpRefusal(REFUSALS.fromNotOwned);
    return acceptDoor.accept({
      source: 'trusted',
      visit: this.#visit,
      transaction,
      received,
      inspected,
      destinations: [{ mailboxId: this.#mailbox!.id, forwardPaths: transaction.forwardPaths }],
      composerId: null,
      actor: { type: 'network', id: network.name, name: network.name },
    });
  }

  #use(mailbox: Sender | undefined): Reply | undefined {
    this.#mailbox = mailbox;
    if (mailbox === undefined || !mailbox.isActive) return REFUSALS.mailboxDisabled;
    if (mailbox.sendingDisabled) return REFUSALS.sendingDisabled;
    return mailbox.mode === 'read_only' ? REFUSALS.readOnly : undefined;
  }

  #maySend(address: Address): boolean {
    return this.#network!.senders.some((pattern) => matchesPattern(address, pattern));
  }
}
