import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

/**
 * Principals: who is behind a key or a login. Who composed a message may not approve it, and it is the
 * principal that counts, however many keys it has.
 */
export interface PrincipalRef {
  kind: 'agent' | 'user' | 'system';
  name: string;
  /** Name of the user who answers for an agent, and therefore may not approve its mail either. */
  owner?: string | null;
}

/**
 * The CTE `principal(id)`: the one of that kind and name, made when there is none. `owner` names the user who
 * answers for it, made as well when there is none: an owner who is not on record would be kept from approving
 * nothing. A principal that has an owner keeps that one. All are parameters; `ids` are two new ids.
 */
export function principalCte(ids: [string, string], kind: string, name: string, owner: string): string {
  return `owner as (
    insert into principals as known (id, kind, name)
    select ${ids[1]}, 'user', ${owner}::text where ${owner}::text is not null and ${kind}::text <> 'user'
    on conflict (kind, name) do update set name = excluded.name
    returning known.id),
  principal as (
    insert into principals as known (id, kind, name, owner_id)
    select ${ids[0]}, ${kind}, ${name}::text, (select id from owner)
    on conflict (kind, name) do update set owner_id = coalesce(known.owner_id, excluded.owner_id)
    returning known.id)`;
}

/** The id of the user of that name, made when there is none. */
export async function ensureUser(db: Db, name: string): Promise<string> {
  const { rows } = await db.query<{ id: string }>({
    text: `insert into principals as known (id, kind, name) values ($1, 'user', $2)
           on conflict (kind, name) do update set name = excluded.name returning known.id`,
    values: [newId(), name],
  });
  return rows[0]!.id;
}
