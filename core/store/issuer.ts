/** What the store knows of those who send, as far as it is said to the world. */
import type { Db } from './database.ts';

export interface ComposerFacts {
  id: string;
  kind: 'agent' | 'user' | 'system';
  name: string;
  /** Whether a key of theirs may read mail. */
  mayRead: boolean;
}

/** Domains that the operator has proved to be theirs. */
export async function readProvedDomains(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ domain: string }>({
    name: 'read-proved-domains',
    text: `select domain from domains where status = 'active'`,
  });
  return rows.map(({ domain }) => domain);
}

export async function readComposer(db: Db, id: string): Promise<ComposerFacts | undefined> {
  const { rows } = await db.query<ComposerFacts>({
    name: 'read-composer',
    text: `select p.id, p.kind, p.name, exists (
             select 1 from api_keys k
              where k.principal_id = p.id and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
                and k.scopes && '{read,admin}') as "mayRead"
             from principals p where p.id = $1`,
    values: [id],
  });
  return rows[0];
}
