/**
 * Domains the operator writes from. Each has a key that signs its mail (RFC 6376); the private half is read by
 * whoever signs and is part of nothing else that is read here.
 */
import { generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface Domain {
  id: string;
  /** Canonical. */
  domain: string;
  status: 'pending' | 'active';
  dkimVerified: boolean;
  spfVerified: boolean;
  mxVerified: boolean;
  returnPathVerified: boolean;
  /** Stands in the DNS to prove who owns the domain. */
  token: string;
  dkimSelector: string;
  /** Base64 DER, as the DNS record holds it. */
  dkimPublicKey: string;
  createdAt: Date;
  verifiedAt: Date | null;
}

const COLUMNS = `id, domain, status, dkim_verified as "dkimVerified", spf_verified as "spfVerified",
  mx_verified as "mxVerified", return_path_verified as "returnPathVerified", token, dkim_selector as "dkimSelector",
  dkim_public_key as "dkimPublicKey", created_at as "createdAt", verified_at as "verifiedAt"`;

const makeKeyPair = promisify(generateKeyPair);

/** Adds a domain with a key pair of its own, audited. Undefined: it is there already. */
export async function addDomain(db: Db, domain: string, actor: Actor): Promise<Domain | undefined> {
  const { privateKey, publicKey } = await makeKeyPair('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  });
  const { rows } = await db.query<Domain>({
    text: `with made as (
        insert into domains (id, domain, token, dkim_selector, dkim_private_key, dkim_public_key)
        values ($1, $2, $3, $4, $5, $6) on conflict (domain) do nothing returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
        select 'domain.added', 'domain', id, $7, $8, $9, jsonb_build_object('domain', domain) from made)
      select ${COLUMNS} from made`,
    values: [
      newId(),
      domain,
      randomBytes(20).toString('hex'),
      // Of its own, so that a domain removed and added again is not signed under a record that names the old key.
      `postern-${randomBytes(4).toString('hex')}`,
      privateKey,
      publicKey.toString('base64'),
      actor.type,
      actor.id,
      actor.name,
    ],
  });
  return rows[0];
}

export async function listDomains(db: Db): Promise<Domain[]> {
  const { rows } = await db.query<Domain>(`select ${COLUMNS} from domains order by id desc`);
  return rows;
}

export async function findDomain(db: Db, id: string): Promise<Domain | undefined> {
  const { rows } = await db.query<Domain>({
    text: `select ${COLUMNS} from domains where id = $1`,
    values: [id],
  });
  return rows[0];
}

/** Removes a domain with its key, audited. False when there is none. */
export async function removeDomain(db: Db, id: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with gone as (delete from domains where id = $1 returning id, domain),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
        select 'domain.deleted', 'domain', id, $2, $3, $4, jsonb_build_object('domain', domain) from gone)
      select id from gone`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}
