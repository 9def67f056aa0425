/** The account: one installation is one. Its row is made at the first start and is never deleted. */
import { randomBytes } from 'node:crypto';
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface AccountFacts {
  id: string;
  name: string;
  /** The name as part of a URL; it stays what it was at the first start. */
  slug: string;
  /** Where codes and notices go, canonical. */
  oversightAddress: string | null;
  physicalAddress: string | null;
  isActive: boolean;
  sendingDisabled: boolean;
  sendingDisabledReason: string | null;
  /** Keys what we sign for ourselves, such as links. It never leaves the process. */
  secret: Buffer;
  createdAt: Date;
}

export type AccountChanges = Partial<Pick<AccountFacts, (typeof CHANGEABLE)[number]>>;

const CHANGEABLE = ['name', 'oversightAddress', 'physicalAddress'] as const;
const COLUMN = {
  name: 'name',
  oversightAddress: 'oversight_address',
  physicalAddress: 'physical_address',
} as const;

const COLUMNS = `id, name, slug, oversight_address as "oversightAddress", physical_address as "physicalAddress",
  is_active as "isActive", sending_disabled as "sendingDisabled", sending_disabled_reason as "sendingDisabledReason",
  secret, created_at as "createdAt"`;

/** The account, which nobody else changes until the transaction of `db` is over. */
export async function lockAccount(db: Db): Promise<AccountFacts> {
  await db.query('select 1 from account for update');
  return readAccount(db);
}

/** The account. Throws when there is none: every process makes it before it opens a room. */
export async function readAccount(db: Db): Promise<AccountFacts> {
  const { rows } = await db.query<AccountFacts>({
    name: 'read-account',
    text: `select ${COLUMNS} from account`,
  });
  if (rows[0] === undefined) throw new Error('the account has not been made yet');
  return rows[0];
}

/**
 * Makes the account if there is none yet, and brings what `wanted` names to what it says, audited. What it
 * leaves out stays as it was last set. Run by several processes at once it makes one account.
 */
export async function ensureAccount(db: Db, wanted: AccountChanges, actor: Actor): Promise<AccountFacts> {
  const name = wanted.name ?? 'Postern';
  await db.query({
    text: `insert into account (id, name, slug, oversight_address, physical_address, secret)
           values ($1, $2, $3, $4, $5, $6) on conflict (one) do nothing`,
    values: [
      newId(),
      name,
      slugOf(name),
      wanted.oversightAddress ?? null,
      wanted.physicalAddress ?? null,
      randomBytes(32),
    ],
  });
  return updateAccount(db, wanted, actor);
}

/** Changes the account and audits which members became different; addresses stand in no event. */
export async function updateAccount(db: Db, changes: AccountChanges, actor: Actor): Promise<AccountFacts> {
  const before = await readAccount(db);
  const changed = CHANGEABLE.filter((name) => changes[name] !== undefined && changes[name] !== before[name]);
  if (changed.length === 0) return before;
  const after = { ...before, ...Object.fromEntries(changed.map((name) => [name, changes[name]])) };
  await db.query({
    text: `with changed as (
        update account set ${changed.map((name, i) => `${COLUMN[name]} = $${i + 5}`).join(', ')} returning id)
      insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
      select 'account.updated', 'account', id, $1, $2, $3, jsonb_build_object('changed', $4::text[]) from changed`,
    values: [actor.type, actor.id, actor.name, changed, ...changed.map((name) => changes[name])],
  });
  return after;
}

/** A name as part of a URL: ASCII letters, digits and hyphens, never empty. */
export function slugOf(name: string): string {
  const slug = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
  return slug === '' ? 'account' : slug;
}

/** Every address that codes and notices go to, canonical: the account's, and those of mailboxes with one of their own. */
export async function overseers(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ address: string }>(
    `select oversight_address as address from account where oversight_address is not null
     union select oversight_address from mailboxes where oversight_address is not null and deleted_at is null`,
  );
  return rows.map(({ address }) => address);
}

/** What mail and its history take on disk. Asked of the file system, for adding up every message would read them all. */
export async function storageUsed(db: Db): Promise<number> {
  const { rows } = await db.query<{ bytes: number }>(
    `select (pg_total_relation_size('contents') + pg_total_relation_size('messages')
             + pg_total_relation_size('recipients') + pg_total_relation_size('audit_events')) as bytes`,
  );
  return rows[0]!.bytes;
}
