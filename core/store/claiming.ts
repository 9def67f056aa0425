import type { RecipientStatus } from '../mail/lifecycle.ts';
import type { Mode } from '../mail/mode.ts';
import { type Batcher, batcher } from './batcher.ts';
import type { Database, Db } from './database.ts';

/** A message taken for one attempt. Its outcome must be reported under the same worker and epoch. */
export interface Claim {
  id: string;
  /** Who took it: the lease under which the outcome is written. */
  worker: string;
  epoch: number;
  /** 1 for the first attempt. */
  attempt: number;
  kind: 'mail' | 'dsn' | 'copy' | 'notice';
  source: 'submission' | 'trusted' | 'mx' | 'rest' | 'postern';
  mailboxId: string;
  mailboxCreatedAt: Date;
  composerId: string | null;
  agent: string | null;
  /** The mailbox's route, or null for the default one. */
  route: string | null;
  reversePath: string;
  forwardPaths: string[];
  /** Those still to be tried, with their place in `recipients`. */
  recipients: { n: number; address: string }[];
  /** How the others fared in earlier attempts. */
  settled: RecipientStatus[];
  smtputf8: boolean;
  body8bit: boolean;
  contentId: string;
  size: number;
  /** SHA-256 over envelope and bytes, hex: what was approved, and so what must be sent. */
  digest: string;
  effectiveMode: Mode | null;
  releasedBy: 'mode' | 'allowlist' | 'approval' | 'postern' | null;
  /** Of mail that a person let go: the decision. */
  approval: { id: string; at: Date } | null;
  createdAt: Date;
  /** When it was let go: from here its time is counted. */
  queuedAt: Date;
  delayReported: boolean;
}

/**
 * The gate, in the statement that begins an attempt. Postern's own mail passes. Other mail passes when both
 * its effective mode and its mailbox's mode of this moment are ungated, when the allowlist covers every
 * recipient, or when someone other than its composer (or the composer's owner) approved exactly this digest.
 */
const GATE = `((m.kind <> 'mail' and m.source = 'postern')
  or (b.is_active and greatest(mode_rank(coalesce(m.effective_mode, '')), mode_rank(b.oversight_mode)) < 2)
  or (b.is_active and m.released_by = 'allowlist' and m.effective_mode = 'gated_send'
      and b.oversight_mode = 'gated_send' and allowlist_covers(m.mailbox_id, m.forward_paths))
  or (b.is_active and greatest(mode_rank(coalesce(m.effective_mode, '')), mode_rank(b.oversight_mode)) < 4
      and approved(m.id, m.digest, m.composer_id)))`;

// The lock on the worker's row makes whoever declares it dead wait until its last claim can be seen.
const CLAIM = `with alive as (select id from workers where id = $2 and lease_until > now() for share),
  claimed as (
    update messages m
       set state = 'relaying', lease_owner = $2, lease_epoch = m.lease_epoch + 1, attempts = m.attempts + 1,
           changed_at = now()
      from mailboxes b, alive
     where b.id = m.mailbox_id and m.id = any($1::text[]) and m.state = 'queued' and m.direction = 'outbound'
       and (m.next_attempt_at is null or m.next_attempt_at <= now() + interval '100 milliseconds')
       and ${GATE}
    returning m.*, b.route as mailbox_route, b.created_at as mailbox_created_at),
  begun as (
    insert into attempts (message_id, n, worker_id, epoch)
    select id, attempts, $2, lease_epoch from claimed),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state, metadata)
    select 'message.attempted', 'message', id, mailbox_id, 'system', $2, 'delivery', 'queued', 'relaying',
           jsonb_build_object('attempt', attempts, 'effective_mode', effective_mode)
      from claimed)
  ${claimsFrom('claimed')}`;

/** The claims as they are handed out, from rows of messages with their mailbox's route. */
function claimsFrom(rows: string): string {
  return `select id, lease_owner as worker, lease_epoch as epoch, attempts as attempt, kind, source,
         mailbox_id as "mailboxId", mailbox_created_at as "mailboxCreatedAt", composer_id as "composerId", agent,
         mailbox_route as route, reverse_path as "reversePath",
         forward_paths as "forwardPaths", smtputf8, body_8bit as "body8bit", content_id as "contentId", size,
         encode(digest, 'hex') as digest, effective_mode as "effectiveMode",
         released_by as "releasedBy", created_at as "createdAt",
         coalesce(queued_at, created_at) as "queuedAt", delay_reported as "delayReported",
         case when released_by = 'approval' then (
           select json_build_object('id', a.id, 'at', a.decided_at) from approvals a
            where a.message_id = ${rows}.id and a.decision = 'approve' and a.digest = ${rows}.digest
            order by a.decided_at desc limit 1) end as approval,
         (select json_agg(json_build_object('n', r.n, 'address', r.address, 'status', r.status) order by r.n)
            from recipients r where r.message_id = ${rows}.id) as everyone
    from ${rows}`;
}

interface ClaimedRow extends Omit<Claim, 'recipients' | 'settled' | 'approval'> {
  approval: { id: string; at: string } | null;
  everyone: { n: number; address: string; status: RecipientStatus }[] | null;
}

/**
 * Takes those of `ids` that are queued, due and let through by the gate, and records the attempt: from here
 * on a crash leaves `in_doubt`, never a silent second sending. Which of several workers asks first wins.
 */
export async function claim(db: Db, ids: string[], worker: string): Promise<Claim[]> {
  const { rows } = await db.query<ClaimedRow>({ name: 'claim', text: CLAIM, values: [ids, worker] });
  return rows.map(withRecipients);
}

/**
 * The claims that `worker` holds among `ids`: for when the connection broke while it claimed, and nobody knows
 * what was committed. Nothing was sent under them yet, as long as the caller leaves out what it is sending.
 */
export async function claimsHeld(db: Db, ids: string[], worker: string): Promise<Claim[]> {
  const { rows } = await db.query<ClaimedRow>({
    text: `with held as (
        select m.*, b.route as mailbox_route, b.created_at as mailbox_created_at from messages m join mailboxes b on b.id = m.mailbox_id
         where m.id = any($1::text[]) and m.state = 'relaying' and m.lease_owner = $2)
      ${claimsFrom('held')}`,
    values: [ids, worker],
  });
  return rows.map(withRecipients);
}

function withRecipients({ everyone, approval, ...row }: ClaimedRow): Claim {
  const recipients: Claim['recipients'] = [];
  const settled: RecipientStatus[] = [];
  for (const { n, address, status } of everyone ?? []) {
    if (status === 'pending' || status === 'deferred') recipients.push({ n, address });
    else settled.push(status);
  }
  return {
    ...row,
    approval: approval && { id: approval.id, at: new Date(approval.at) },
    recipients,
    settled,
  };
}

/**
 * Puts queued messages that the gate does not let through back into review: the mailbox grew stricter, or
 * someone moved the row by hand. Returns the ids it held.
 */
export async function holdUngated(db: Db, ids: string[], newId: () => string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    name: 'hold-ungated',
    text: `with shut as (
        update messages m
           set state = 'held',
               -- gated from now on, so that an approval opens it; never read_only, which no approval could open
               effective_mode = case when 'gated_all' in (b.oversight_mode, m.effective_mode)
                 or b.oversight_mode = 'read_only' then 'gated_all' else 'gated_send' end,
               released_by = null, changed_at = now(), wake_at = now() + make_interval(hours => b.hold_expiry_hours)
          from mailboxes b
         where b.id = m.mailbox_id and m.id = any($1::text[]) and m.state = 'queued'
           and m.direction = 'outbound' and not ${GATE}
        returning m.id, m.mailbox_id, m.wake_at),
      numbered as (select *, row_number() over (order by id) as n from shut),
      held as (
        insert into holds (id, message_id, mailbox_id, reasons, expires_at)
        select ($2::text[])[n], id, mailbox_id,
               array['it was about to leave without a valid approval: the mailbox became stricter, or the message was moved by hand'],
               wake_at from numbered
        -- a hold still open: the message was moved out of it by hand
        on conflict (message_id) where closed_at is null
          do update set reasons = excluded.reasons, expires_at = excluded.expires_at),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
          from_state, to_state, metadata)
        select 'message.held', 'message', id, mailbox_id, 'system', 'delivery', 'queued', 'held',
               '{"cause": "gate"}' from shut)
      select id from shut`,
    values: [ids, ids.map(() => newId())],
  });
  return rows.map(({ id }) => id);
}

/**
 * Claims by group commit: bundles asked for at the same moment go in one statement. `worker` is asked at each,
 * because a process that was declared dead goes on under another name.
 */
export function claiming(
  database: Database,
  worker: () => string,
  onFlush?: (n: number) => void,
): Batcher<string[], Claim[]> {
  const lane = database.lane('claim');
  return batcher<string[], Claim[]>({
    lingerMs: 3,
    ...(onFlush && { onFlush }),
    async run(bundles) {
      const claims = await claim(lane, bundles.flat(), worker());
      const byId = new Map(claims.map((one) => [one.id, one]));
      return bundles.map((ids) =>
        ids.flatMap((id) => {
          const mine = byId.get(id);
          byId.delete(id);
          return mine === undefined ? [] : [mine];
        }),
      );
    },
  });
}
