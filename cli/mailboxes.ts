/** Mailboxes as several commands name, choose and tell them. */
import type { Config } from '../core/runtime/config.ts';
import { findMailbox, type MailboxFacts } from '../core/store/accounts.ts';
import type { Db } from '../core/store/database.ts';
import { Failure, misuse } from './output.ts';

/** The name of a route that is configured. */
export function readRoute(name: string, { delivery }: Config): string {
  if (Object.hasOwn(delivery.routes, name)) return name;
  throw misuse(`no route is called ${name}`, `there are ${Object.keys(delivery.routes).join(', ')}`);
}

/** A mailbox by id or address, or an error that names it. */
export async function mailboxCalled(db: Db, name: string): Promise<MailboxFacts> {
  const found = await findMailbox(db, name);
  if (found !== undefined) return found;
  throw new Failure(`there is no mailbox ${name}`, {
    code: 'not_found',
    hint: '"postern mailbox list" shows what there is',
  });
}

/** A mailbox as it is told in JSON. */
export function shown(mailbox: MailboxFacts) {
  return {
    id: mailbox.id,
    address: mailbox.address,
    display_name: mailbox.displayName,
    oversight_mode: mailbox.oversightMode,
    oversight_address: mailbox.oversightAddress,
    route: mailbox.route,
    gate_timing: mailbox.gateTiming,
    hold_expiry_hours: mailbox.holdExpiryHours,
    is_active: mailbox.isActive,
    created_at: mailbox.createdAt,
  };
}
