/** Requests that name themselves, so that a repeat is answered and not sent again. Keys count for 24 hours. */
import type { Db } from './database.ts';

export interface NamedRequest {
  mailboxId: string;
  key: string;
  /** SHA-256 of what was asked. */
  requestSha256: Buffer;
  messageId: string;
}

/**
 * Takes the key for `messageId` inside the caller's transaction. When somebody has it already, nothing changes
 * and the message it stands for is returned, with whether the request was the same. Of two at the same time
 * the second waits for the first to commit or roll back.
 */
export async function takeKey(
  db: Db,
  { mailboxId, key, requestSha256, messageId }: NamedRequest,
): Promise<{ messageId: string; same: boolean } | undefined> {
  const taken = await db.query({
    name: 'take-key',
    text: `insert into idempotency_keys as k (mailbox_id, key, message_id, request_sha256) values ($1, $2, $3, $4)
           on conflict (mailbox_id, operation, key) do update
             set message_id = excluded.message_id, request_sha256 = excluded.request_sha256, created_at = now()
             where k.created_at < now() - interval '24 hours'
           returning 1`,
    values: [mailboxId, key, messageId, requestSha256],
  });
  if (taken.rows.length > 0) return undefined;
  const { rows } = await db.query<{ messageId: string; same: boolean }>({
    name: 'read-key',
    text: `select message_id::text as "messageId", request_sha256 = $3 as same
             from idempotency_keys where mailbox_id = $1 and operation = 'send_email' and key = $2`,
    values: [mailboxId, key, requestSha256],
  });
  return rows[0];
}

/** Deletes up to `limit` keys whose time is over; returns how many. One that is being taken anew is left alone. */
export async function forgetKeys(db: Db, limit: number): Promise<number> {
  const { rowCount } = await db.query({
    name: 'forget-keys',
    text: `delete from idempotency_keys k
            using (select mailbox_id, operation, key from idempotency_keys
                    where created_at < now() - interval '24 hours' limit $1 for update skip locked) old
            where k.mailbox_id = old.mailbox_id and k.operation = old.operation and k.key = old.key`,
    values: [limit],
  });
  return rowCount ?? 0;
}

/** What a key stands for already, before anything else about the request is looked at; undefined for nothing. */
export async function findRequest(
  db: Db,
  { mailboxId, operation, key, requestSha256 }: Omit<NamedRequest, 'messageId'> & { operation: string },
): Promise<{ messageId: string; same: boolean } | undefined> {
  const { rows } = await db.query<{ messageId: string; same: boolean }>({
    name: 'find-request',
    text: `select message_id::text as "messageId", request_sha256 = $4 as same from idempotency_keys
            where mailbox_id = $1 and operation = $2 and key = $3 and created_at >= now() - interval '24 hours'`,
    values: [mailboxId, operation, key, requestSha256],
  });
  return rows[0];
}
