/**
 * Addresses that get no more mail from us: they bounced for good, complained, or unsubscribed. Compared as the
 * allowlist compares: in lower case, domains as A-labels. Every process keeps them in memory (suppressed.ts), so
 * each change is told in passing.
 */
import type { Actor } from '../mail/actor.ts';
import { mailboxKey } from '../mail/address.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export type SuppressionReason = 'hard_bounce' | 'complaint' | 'unsubscribe' | 'manual';

export interface Suppression {
  id: string;
  address: string;
  reason: SuppressionReason;
  mailboxId: string | null;
  createdAt: Date;
}

export interface NewSuppression {
  /** Canonical. */
  address: string;
  reason: SuppressionReason;
  /** The mailbox whose mail gave the reason. */
  mailboxId?: string | null;
  messageId?: string | null;
}

/** Notices are `+reason key` and `-key`, or `*` when everything has to be read again. */
export const CHANNEL = 'suppressions';

/** Those of `addresses` (canonical) that are suppressed, as they were given. */
export async function suppressedAmong(db: Db, addresses: readonly string[]): Promise<string[]> {
  const found = await suppressionsOf(db, addresses);
  return addresses.filter((address) => found.has(mailboxKey(address)));
}

/** Why each of `addresses` is suppressed, by `mailboxKey`; those that are not are left out. */
export async function suppressionsOf(
  db: Db,
  addresses: readonly string[],
): Promise<Map<string, SuppressionReason>> {
  if (addresses.length === 0) return new Map();
  const { rows } = await db.query<{ key: string; reason: SuppressionReason }>({
    name: 'suppressed-among',
    text: 'select address_key as key, reason from suppressions where address_key = any($1::text[])',
    values: [addresses.map(mailboxKey)],
  });
  return new Map(rows.map(({ key, reason }) => [key, reason]));
}

/** All of them with their reasons, or undefined when there are more than `most`. */
export async function allSuppressions(
  db: Db,
  most: number,
): Promise<Map<string, SuppressionReason> | undefined> {
  const { rows } = await db.query<{ key: string; reason: SuppressionReason }>({
    text: 'select address_key as key, reason from suppressions limit $1',
    values: [most + 1],
  });
  return rows.length > most ? undefined : new Map(rows.map(({ key, reason }) => [key, reason]));
}

/** Suppresses an address from now on, audited. False when it was suppressed before, whose reason then stays. */
export async function suppress(db: Db, one: NewSuppression, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with made as (
        insert into suppressions (id, address, address_key, reason, mailbox_id, message_id)
        values ($1, $2, $3, $4, $5, $6) on conflict (address_key) do nothing returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'suppression.added', 'suppression', id, mailbox_id, $7, $8, $9,
               jsonb_build_object('address', address, 'reason', reason, 'message_id', message_id) from made)
      select pg_notify('${CHANNEL}', '+' || reason || ' ' || address_key) from made`,
    values: [
      newId(),
      one.address,
      mailboxKey(one.address),
      one.reason,
      one.mailboxId ?? null,
      one.messageId ?? null,
      actor.type,
      actor.id,
      actor.name,
    ],
  });
  return rowCount === 1;
}

/** Lets an address have mail again, audited. Undefined when it was not suppressed, else the address. */
export async function removeSuppression(db: Db, address: string, actor: Actor): Promise<string | undefined> {
  const { rows } = await db.query<{ address: string }>({
    text: `with gone as (delete from suppressions where address_key = $1 returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'suppression.removed', 'suppression', id, mailbox_id, $2, $3, $4,
               jsonb_build_object('address', address, 'reason', reason) from gone)
      select address, pg_notify('${CHANNEL}', '-' || address_key) from gone`,
    values: [mailboxKey(address), actor.type, actor.id, actor.name],
  });
  return rows[0]?.address;
}

/** A page of them, newest first, older than the id `after`. */
export async function listSuppressions(
  db: Db,
  page: { after: string | null; offset?: number; limit: number },
): Promise<{ suppressions: Suppression[]; more: boolean }> {
  const { rows } = await db.query<Suppression>({
    text: `select id, address, reason, mailbox_id as "mailboxId", created_at as "createdAt" from suppressions
            where $1::text is null or id < $1 order by id desc limit $2 offset $3`,
    values: [page.after, page.limit + 1, page.offset ?? 0],
  });
  return { suppressions: rows.slice(0, page.limit), more: rows.length > page.limit };
}
