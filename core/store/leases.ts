import type { Database, Db } from './database.ts';

/** A delivery worker as the store knows it: its claims hold while its lease does. */
export interface Worker {
  id: string;
  room: string;
  leaseSeconds: number;
}

/** Announces a worker; its lease runs from now. */
export async function beginLease(db: Db, worker: Worker): Promise<void> {
  await db.query({
    text: 'insert into workers (id, room, lease_until) values ($1, $2, now() + make_interval(secs => $3))',
    values: [worker.id, worker.room, worker.leaseSeconds],
  });
}

/** Renews the lease from now. False: it was declared dead; it must stop, and begin again under another id. */
export async function renewLease(db: Db, worker: Worker): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'renew-lease',
    text: `update workers set lease_until = now() + make_interval(secs => $2)
            where id = $1 and lease_until > '-infinity'`,
    values: [worker.id, worker.leaseSeconds],
  });
  return rowCount === 1;
}

/** Ends a lease on purpose; what the worker still had claimed becomes `in_doubt` at the next `loseExpired`. */
export async function endLease(db: Db, id: string): Promise<void> {
  await db.query({ text: 'update workers set lease_until = now() where id = $1', values: [id] });
}

/**
 * Finds workers whose lease ran out and moves what they were sending to `in_doubt`: whether the next hop
 * took it, nobody can know. Their epoch is left behind, so that a worker which merely stalled can no longer
 * report. Returns the ids moved.
 */
export async function loseExpired(database: Database): Promise<string[]> {
  // Declared dead first, in a statement of its own: it waits for a claim under way, and after it no claim
  // of theirs can succeed, so the next statement sees everything they hold.
  const { rows: dead } = await database.pool.query<{ id: string }>({
    name: 'declare-dead',
    text: `update workers set lease_until = '-infinity' where lease_until <= now() returning id`,
  });
  if (dead.length === 0) return [];
  const { rows } = await database.pool.query<{ id: string }>({
    name: 'lose',
    text: `with lost as (
        update messages m
           set state = 'in_doubt', lease_epoch = m.lease_epoch + 1, changed_at = now(), wake_at = now(),
               status_reason = 'the worker that was sending it ended before its outcome was known'
         where m.wake_at is not null and m.state = 'relaying' and m.lease_owner = any($1::text[])
        returning m.id, m.mailbox_id, m.attempts, m.lease_owner),
      doubtful as (
        update recipients r set status = 'in_doubt'
          from lost where r.message_id = lost.id and r.status in ('pending', 'deferred')),
      ended as (
        update attempts a set ended_at = now(), outcome = 'in_doubt'
          from lost where a.message_id = lost.id and a.n = lost.attempts),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
          from_state, to_state, metadata)
        select 'message.in_doubt', 'message', id, mailbox_id, 'system', 'sweeper', 'relaying', 'in_doubt',
               jsonb_build_object('attempt', attempts, 'worker', lease_owner) from lost),
      buried as (delete from workers where id = any($1::text[]))
      select id from lost`,
    values: [dead.map(({ id }) => id)],
  });
  return rows.map(({ id }) => id);
}
