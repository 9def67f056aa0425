/**
 * Codes that were mailed to people: made, tried, used once.
 *
 *   issueCode ──▶ open ──right, for what it is bound to──▶ used
 *                  ├──ten wrong tries, or replaced──▶ dead
 *                  └──its time is over──▶ expired
 *
 * A wrong try counts against every open code of that subject: nobody can try the same guess on several at once.
 */
import type { Actor } from '../mail/actor.ts';
import { codeHash, isCode, newCode } from '../mail/code.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export type CodePurpose = 'operation' | 'upgrade' | 'session';

/** Whom or what a code is for. */
export interface CodeSubject {
  purpose: CodePurpose;
  /** Of an upgrade the mailbox; of a session the key; else the principal that asks. */
  subjectId: string;
}

export interface NewCode extends CodeSubject {
  /** Name of the guarded operation, or the target mode. */
  operation: string;
  /** A digest of all that the code is for. */
  boundTo: Buffer;
  /** Id of the key. */
  requestedBy: string;
  words: string;
  lifeSeconds: number;
  /** Ends the open codes of the subject. */
  replaces?: boolean;
  mailboxId?: string | null;
}

export interface IssuedCode {
  id: string;
  /** As people read it. It goes into one mail and nowhere else. */
  code: string;
  expiresAt: Date;
}

const TRIES = 10;
const OPEN = `used_at is null and dead_at is null and expires_at > now()`;

/** Makes a code. `secret` is the account's; one that `replaces` others needs `db` to be a transaction. */
export async function issueCode(db: Db, wanted: NewCode, secret: Buffer, actor: Actor): Promise<IssuedCode> {
  const id = newId();
  const code = newCode();
  // Of two at the same time the later one sees the earlier, and replaces it.
  if (wanted.replaces)
    await db.query({
      text: 'select pg_advisory_xact_lock(hashtextextended($1, 0))',
      values: [`code ${wanted.purpose} ${wanted.subjectId}`],
    });
  const { rows } = await db.query<{ expiresAt: Date }>({
    text: `with replaced as (
        update operator_codes set dead_at = now()
         where $9 and purpose = $2 and subject_id = $3 and used_at is null and dead_at is null),
      made as (
        insert into operator_codes (id, purpose, subject_id, operation, bound_to, code_hash, requested_by, words, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $10)) returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'code.sent', 'code', id, $11, $12, $13, $14,
               jsonb_build_object('purpose', purpose, 'operation', operation) from made)
      select expires_at as "expiresAt" from made`,
    values: [
      id,
      wanted.purpose,
      wanted.subjectId,
      wanted.operation,
      wanted.boundTo,
      codeHash(secret, id, code),
      wanted.requestedBy,
      wanted.words,
      wanted.replaces ?? false,
      wanted.lifeSeconds,
      wanted.mailboxId ?? null,
      actor.type,
      actor.id,
      actor.name,
    ],
  });
  return { id, code, expiresAt: rows[0]!.expiresAt };
}

interface Open {
  id: string;
  operation: string;
  boundTo: Buffer;
  codeHash: Buffer;
}

export interface TriedCode extends CodeSubject {
  code: string;
  /** What it would have to be bound to now, for this operation or target. */
  boundTo(operation: string): Buffer;
  mailboxId?: string | null;
}

/**
 * Tries a code, in a transaction of the caller's that has to be committed whatever comes of it. `used`: it was
 * right, and it is spent now, with every other code for the same. `unasked`: none was asked for lately.
 */
export async function tryCode(
  db: Db,
  tried: TriedCode,
  secret: Buffer,
  actor: Actor,
): Promise<{ result: 'used'; id: string; operation: string } | { result: 'wrong' | 'unasked' }> {
  const { rows } = await db.query<Open>({
    text: `select id, operation, bound_to as "boundTo", code_hash as "codeHash" from operator_codes
            where purpose = $1 and subject_id = $2 and ${OPEN} order by id for update`,
    values: [tried.purpose, tried.subjectId],
  });
  // All are compared, so that the time tells nothing of which one it was.
  const right = rows.filter((one) => isCode(one.codeHash, secret, one.id, tried.code));
  const fitting = right.find((one) => tried.boundTo(one.operation).equals(one.boundTo));
  if (fitting !== undefined) {
    await spend(db, tried, fitting, actor);
    return { result: 'used', id: fitting.id, operation: fitting.operation };
  }
  await countWrong(db, tried, actor);
  return { result: rows.length > 0 || (await askedLately(db, tried)) ? 'wrong' : 'unasked' };
}

async function spend(
  db: Db,
  tried: TriedCode,
  { id, boundTo, operation }: Open,
  actor: Actor,
): Promise<void> {
  await db.query({
    text: `with spent as (
        update operator_codes
           set used_at = case when id = $1 then now() end, dead_at = case when id <> $1 then now() end
         where purpose = $2 and subject_id = $3 and bound_to = $4 and ${OPEN})
      insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
      values ('code.used', 'code', $1, $5, $6, $7, $8, jsonb_build_object('purpose', $2::text, 'operation', $9::text))`,
    values: [
      id,
      tried.purpose,
      tried.subjectId,
      boundTo,
      tried.mailboxId ?? null,
      actor.type,
      actor.id,
      actor.name,
      operation,
    ],
  });
}

async function countWrong(db: Db, tried: TriedCode, actor: Actor): Promise<void> {
  await db.query({
    text: `with counted as (
        update operator_codes
           set wrong_tries = wrong_tries + 1,
               dead_at = case when wrong_tries + 1 >= ${TRIES} then now() end
         where purpose = $1 and subject_id = $2 and ${OPEN} returning dead_at)
      insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
      select 'code.failed', 'code', $2, $3, $4, $5, $6,
             jsonb_build_object('purpose', $1::text, 'open', count(*), 'died', count(dead_at)) from counted`,
    values: [tried.purpose, tried.subjectId, tried.mailboxId ?? null, actor.type, actor.id, actor.name],
  });
}

async function askedLately(db: Db, { purpose, subjectId }: CodeSubject): Promise<boolean> {
  const { rows } = await db.query({
    text: `select 1 from operator_codes
            where purpose = $1 and subject_id = $2 and created_at > now() - interval '7 days' limit 1`,
    values: [purpose, subjectId],
  });
  return rows.length > 0;
}

/** An operation that waits for somebody's yes. */
export interface WaitingCode {
  id: string;
  operation: string;
  words: string;
  requestedBy: string;
  createdAt: Date;
  expiresAt: Date;
}

/** Guarded operations whose code nobody has used yet, newest first. */
export async function listWaiting(db: Db): Promise<WaitingCode[]> {
  const { rows } = await db.query<WaitingCode>({
    text: `select c.id, c.operation, c.words, k.name as "requestedBy", c.created_at as "createdAt", c.expires_at as "expiresAt"
             from (select * from operator_codes where purpose = 'operation' and confirmed_at is null and ${OPEN}) c
             join api_keys k on k.id = c.requested_by
            order by c.id desc limit 100`,
  });
  return rows;
}

/** A signed-in admin's yes, in place of the code. False when nothing of that id waits any more. */
export async function confirmWaiting(db: Db, id: string, by: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with confirmed as (
        update operator_codes set confirmed_at = now()
         where id = $1 and purpose = 'operation' and confirmed_at is null and ${OPEN} returning id, operation)
      insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
      select 'code.used', 'code', id, $2, $3, $4, jsonb_build_object('purpose', 'operation', 'operation', operation,
             'by', 'dashboard') from confirmed`,
    values: [id, by.type, by.id, by.name],
  });
  return rowCount === 1;
}

/** Takes a yes that was given for exactly this to this key. Undefined when there is none; of several callers one gets it. */
export async function takeConfirmed(
  db: Db,
  { subjectId, boundTo, requestedBy }: Pick<NewCode, 'subjectId' | 'boundTo' | 'requestedBy'>,
): Promise<string | undefined> {
  const { rows } = await db.query<{ id: string }>({
    text: `update operator_codes set used_at = now()
            where id = (select id from operator_codes
                         where purpose = 'operation' and subject_id = $1 and bound_to = $2 and requested_by = $3
                           and confirmed_at is not null and ${OPEN} limit 1 for update)
           returning id`,
    values: [subjectId, boundTo, requestedBy],
  });
  return rows[0]?.id;
}

/** Audits that a person stood behind a guarded operation. */
export async function noteConfirmed(
  db: Db,
  confirmed: { operation: string; tier: string; by: 'code' | 'session' | 'dashboard'; id: string },
  actor: Actor,
): Promise<void> {
  await db.query({
    text: `insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
           values ('operation.confirmed', 'operation', $1, $2, $3, $4, $5::jsonb)`,
    values: [
      confirmed.operation,
      actor.type,
      actor.id,
      actor.name,
      JSON.stringify({ tier: confirmed.tier, by: confirmed.by, [`${confirmed.by}_id`]: confirmed.id }),
    ],
  });
}

/** Deletes codes that are long over; returns how many. */
export async function forgetCodes(db: Db, limit: number): Promise<number> {
  const { rowCount } = await db.query({
    text: `delete from operator_codes where id in (
             select id from operator_codes where created_at < now() - interval '30 days' limit $1)`,
    values: [limit],
  });
  return rowCount ?? 0;
}
