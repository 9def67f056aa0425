/**
 * Requests that name themselves, other than sending: what was asked first, and the answer it had, for 24 hours.
 * While the first still runs its row has no answer; it says again and again that it runs, so that one whose
 * process died does not stand in the way for long.
 */
import type { Db } from './database.ts';

export interface NamedCall {
  operation: string;
  key: string;
  /** SHA-256 of who asked what. */
  requestSha256: Buffer;
  /** This attempt at it, an id: what an earlier one says later does not count. */
  attempt: string;
}

/** How long a call counts as running since it last said so. */
export const RUNNING_SECONDS = 30;

/** What became of the first call under a key. */
export type Earlier = { same: boolean; status: number | null; answer: Buffer | null };

/**
 * Takes the key for this call, or tells what has it. Of two at the same time one gets it. A key whose first call
 * has not been heard of any more goes to the next that asks for the same.
 */
export async function takeCall(
  db: Db,
  { operation, key, requestSha256, attempt }: NamedCall,
): Promise<Earlier | 'taken'> {
  const taken = await db.query({
    name: 'take-call',
    text: `insert into idempotent_requests as r (operation, key, request_sha256, attempt, running_until)
           values ($1, $2, $3, $4, now() + make_interval(secs => $5))
           on conflict (operation, key) do update
             set request_sha256 = excluded.request_sha256, attempt = excluded.attempt, status = null, answer = null,
                 running_until = excluded.running_until, created_at = now()
             where r.created_at < now() - interval '24 hours'
                or (r.status is null and r.running_until < now() and r.request_sha256 = excluded.request_sha256)
           returning 1`,
    values: [operation, key, requestSha256, attempt, RUNNING_SECONDS],
  });
  if (taken.rows.length > 0) return 'taken';
  const { rows } = await db.query<Earlier>({
    name: 'read-call',
    text: `select request_sha256 = $3 as same, status, answer from idempotent_requests
            where operation = $1 and key = $2`,
    values: [operation, key, requestSha256],
  });
  // Gone between the two statements: the first came to nothing just now. To be asked again, like one that runs.
  return rows[0] ?? { same: true, status: null, answer: null };
}

/** Says that the call still runs. */
export async function keepRunning(db: Db, { operation, key, attempt }: NamedCall): Promise<void> {
  await db.query({
    name: 'keep-running',
    text: `update idempotent_requests set running_until = now() + make_interval(secs => $4)
            where operation = $1 and key = $2 and attempt = $3`,
    values: [operation, key, attempt, RUNNING_SECONDS],
  });
}

/** Keeps the answer for those who ask again. */
export async function keepAnswer(
  db: Db,
  { operation, key, attempt }: NamedCall,
  status: number,
  answer: Buffer,
): Promise<void> {
  await db.query({
    name: 'keep-answer',
    text: `update idempotent_requests set status = $4, answer = $5
            where operation = $1 and key = $2 and attempt = $3`,
    values: [operation, key, attempt, status, answer],
  });
}

/** Gives the key free: the call came to nothing that counts. */
export async function releaseCall(db: Db, { operation, key, attempt }: NamedCall): Promise<void> {
  await db.query({
    name: 'release-call',
    text: 'delete from idempotent_requests where operation = $1 and key = $2 and attempt = $3 and status is null',
    values: [operation, key, attempt],
  });
}

/** Deletes up to `limit` whose time is over; returns how many. One that is being taken anew is left alone. */
export async function forgetCalls(db: Db, limit: number): Promise<number> {
  const { rowCount } = await db.query({
    name: 'forget-calls',
    text: `delete from idempotent_requests r
            using (select operation, key from idempotent_requests
                    where created_at < now() - interval '24 hours' limit $1 for update skip locked) old
            where r.operation = old.operation and r.key = old.key`,
    values: [limit],
  });
  return rowCount ?? 0;
}
