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
 * The CTE `principal(id)`: the one of that kind and name, made when there is none. An owner is a user of that
 * name, who must exist; naming another owner than before changes it only where none was set.
 */
export function principalCte(id: string, kind: string, name: string, owner: string): string {
  return `principal as (
    insert into principals as known (id, kind, name, owner_id)
    select ${id}, ${kind}, ${name}::text, (select u.id from principals u where u.kind = 'user' and u.name = ${owner}::text)
    on conflict (kind, name) do update set owner_id = coalesce(known.owner_id, excluded.owner_id)
    returning known.id)`;
}
