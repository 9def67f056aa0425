/** What the door asks about mailboxes. How they are managed is in accounts.ts. */
import type { Mode } from '../mail/mode.ts';
import type { Db } from './database.ts';

export interface Mailbox {
  id: string;
  /** Canonical. */
  address: string;
  /** `mailboxKey(address)`. */
  key: string;
  mode: Mode;
  isActive: boolean;
}

/** Those mailboxes among `keys` (made by `mailboxKey`) that exist, active or not. */
export async function findMailboxes(db: Db, keys: string[]): Promise<Mailbox[]> {
  const { rows } = await db.query<Mailbox>({
    name: 'find-mailboxes',
    text: `select id, address, address_key as key, oversight_mode as mode, is_active as "isActive"
             from mailboxes where address_key = any($1::text[]) and not is_system`,
    values: [keys],
  });
  return rows;
}

/** The domains we have mailboxes at. */
export async function mailboxDomains(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ domain: string }>({
    name: 'mailbox-domains',
    text: `select distinct substring(address_key from '[^@]*$') as domain from mailboxes where is_active and not is_system`,
  });
  return rows.map(({ domain }) => domain);
}
