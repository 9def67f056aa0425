import type { Sender } from '../compose/draft.ts';
import { domainOf } from '../mail/address.ts';
import { unsubscribeToken } from '../mail/unsubscribe-token.ts';
import { readAccount } from '../store/account.ts';
import type { MailboxFacts } from '../store/accounts.ts';
import type { SenderFacts } from '../store/senders.ts';
import { baseUrlOf } from './base-url.ts';
import type { Runtime } from './runtime.ts';

/** Who composed a message: its principal, and the agent it is said to be of. */
export interface Composer {
  composerId: string | null;
  agent: string | null;
}

/** A mailbox as mail that is composed in its name shows it; `facts` are from `readSender` (core/store/senders.ts). */
export async function senderOf(
  { config, database, issuer }: Pick<Runtime, 'config' | 'database' | 'issuer'>,
  mailbox: Pick<MailboxFacts, 'id' | 'address' | 'displayName' | 'createdAt'>,
  facts: SenderFacts,
  { composerId, agent }: Composer,
): Promise<Sender> {
  const [verifyLink, account] = await Promise.all([
    issuer.verifyLinks({
      kind: 'mail',
      source: 'rest',
      composerId,
      agent,
      mailboxCreatedAt: mailbox.createdAt,
      authorDomain: domainOf(mailbox.address),
    }),
    config.identity.list_unsubscribe ? readAccount(database.pool) : null,
  ]);
  const { signatureBlock, operatorName, physicalAddress, did } = facts;
  return {
    address: mailbox.address,
    name: mailbox.displayName,
    signatureBlock,
    operatorName,
    physicalAddress,
    did,
    verifyLink,
    unsubscribeLink:
      account === null
        ? null
        : (address) =>
            `${baseUrlOf(config)}/v1/unsubscribe/${unsubscribeToken(account.secret, { mailboxId: mailbox.id, address })}`,
  };
}
