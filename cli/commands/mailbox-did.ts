/** `postern mailbox set-did`: which agent, by its own key, a mailbox speaks for. */
import type { Command } from 'commander';
import { bindDid } from '../../core/store/dids.ts';
import { command } from '../command.ts';
import { mailboxCalled } from '../mailboxes.ts';
import { misuse, say } from '../output.ts';
import type { Common } from '../settings.ts';
import { withStore } from '../store.ts';

/** The method `key` with a base58btc value, as the did:key specification has it. */
const DID_KEY = /^did:key:z[1-9A-HJ-NP-Za-km-z]{20,200}$/;

export function addDidCommand(mailbox: Command): void {
  command(
    mailbox,
    'set-did <mailbox> <did>',
    "bind a did:key, so that mail may carry its agent's own delegation; '' takes it away",
  ).action(set);
}

async function set(name: string, text: string, options: Common): Promise<void> {
  const did = text === '' ? null : text;
  if (did !== null && !DID_KEY.test(did))
    throw misuse(`${text} is no did:key`, 'expected something like did:key:z6Mk…');
  await withStore(options, async ({ database, actor }) => {
    const { id, address } = await mailboxCalled(database.pool, name);
    const changed = await bindDid(database.pool, id, did, actor);
    say(options, { id, address, did }, () => {
      if (!changed) return `nothing changed for ${address}`;
      return did === null ? `${address} is bound to no DID any more` : `${address} is bound to ${did} now`;
    });
  });
}
