/** People the account knows: a name for an address, and words about it. */
import type { Actor } from '../mail/actor.ts';
import { mailboxKey } from '../mail/address.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface Contact {
  id: string;
  name: string;
  email: string;
  tags: string[];
  createdAt: Date;
}

export interface NewContact {
  /** Canonical. */
  email: string;
  name?: string | undefined;
  tags?: string[] | undefined;
}

const COLUMNS = `id, name, email, tags, created_at as "createdAt"`;

/** Adds a contact, audited. One with this address already gets what is given here, and keeps its id and the rest. */
export async function addContact(db: Db, contact: NewContact, actor: Actor): Promise<Contact> {
  const { rows } = await db.query<Contact>({
    text: `with added as (
        insert into contacts as c (id, name, name_key, email, email_key, tags)
        values ($1, coalesce($2, $3), coalesce($9, $4), $3, $4, coalesce($5::text[], '{}'))
        on conflict (email_key) do update
          set name = coalesce($2, c.name), name_key = coalesce($9, c.name_key), email = excluded.email, tags = coalesce($5::text[], c.tags)
        returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
        select 'contact.added', 'contact', id, $6, $7, $8, jsonb_build_object('updated', id <> $1) from added)
      select ${COLUMNS} from added`,
    values: [
      newId(),
      contact.name ?? null,
      contact.email,
      mailboxKey(contact.email),
      contact.tags ?? null,
      actor.type,
      actor.id,
      actor.name,
      contact.name?.toLowerCase() ?? null,
    ],
  });
  return rows[0]!;
}

/** A page of contacts, newest first, older than the id `after`; with `text` in name or address, whatever its case. */
export async function listContacts(
  db: Db,
  {
    text,
    after,
    offset = 0,
    limit,
  }: { text: string | null; after: string | null; offset?: number; limit: number },
): Promise<{ contacts: Contact[]; more: boolean }> {
  const { rows } = await db.query<Contact>({
    text: `select ${COLUMNS} from contacts
            where ($1::text is null or id < $1)
              and ($2::text is null or strpos(name_key, $2) > 0 or strpos(email_key, $2) > 0)
            order by id desc limit $3 offset $4`,
    values: [after, text?.toLowerCase() ?? null, limit + 1, offset],
  });
  return { contacts: rows.slice(0, limit), more: rows.length > limit };
}

/** Removes a contact, audited. False when there is none. */
export async function removeContact(db: Db, id: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with gone as (delete from contacts where id = $1 returning id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name)
        select 'contact.removed', 'contact', id, $2, $3, $4 from gone)
      select id from gone`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}
