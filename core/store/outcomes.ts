import type { RecipientStatus } from '../mail/lifecycle.ts';
import { type Batcher, batcher } from './batcher.ts';
import type { Database, Db } from './database.ts';

/** What an attempt did to one recipient. `n` is its place in the message's forward-paths. */
export interface RecipientOutcome {
  n: number;
  address: string;
  status: Exclude<RecipientStatus, 'pending'>;
  code: number | null;
  enhanced: string | null;
  text: string | null;
}

/** The end of an attempt, to be written under the claim it answers. */
export interface Outcome {
  id: string;
  worker: string;
  epoch: number;
  attempt: number;
  to: 'relayed' | 'queued' | 'failed' | 'in_doubt';
  recipients: RecipientOutcome[];
  route: string;
  nextHop: string | null;
  /** The next hop's reply, or our own words, for the attempt as a whole. */
  reply: string | null;
  /** For `queued`: when to try again. For `in_doubt`: when to ask again. Else null. */
  wakeAt: Date | null;
  dsnOwed: 'failed' | 'delayed' | null;
  /** Set when the route is a capture box: the id of the captured copy. */
  captureId: string | null;
  /** Header fields that went on top of that copy. */
  captureMarks?: string;
}

/** What was owed before this attempt and not paid yet is still owed while the message lives. */
const OWED = `(case when i.to_state not in ('queued', 'in_doubt') then i.dsn_owed
  else coalesce(nullif(m.dsn_owed, 'delayed'), i.dsn_owed, m.dsn_owed) end)`;

// The ids also come as an array, which an index can be asked for whatever the planner thinks of the table's size.
// What was moved carries its input along: joining the two again would cost a comparison for each pair.
const SETTLE = `with input as (
    select * from json_to_recordset($1::json) as t(id text, worker text, epoch int, attempt int, to_state text, action text,
      recipients json, route text, next_hop text, reply text, wake_at timestamptz, dsn_owed text, capture_id text,
      capture_marks text, outcome text)),
  moved as (
    update messages m
       set state = i.to_state, changed_at = now(), next_attempt_at = case when i.to_state = 'queued' then i.wake_at end,
           wake_at = case when ${OWED} is not null then least(i.wake_at, now() + interval '5 seconds')
                          else i.wake_at end,
           dsn_owed = ${OWED}, delay_reported = m.delay_reported or coalesce(i.dsn_owed = 'delayed', false),
           status_reason = case when i.to_state = 'relayed' then null else i.reply end
      from input i
     where m.id = any($2::text[]) and m.id = i.id and m.state = 'relaying' and m.lease_owner = i.worker and m.lease_epoch = i.epoch
    returning m.mailbox_id, m.content_id, m.reverse_path, m.subject, i.*),
  fared as (
    update recipients r
       set status = o.status, reply_code = o.code, reply_enhanced = o.enhanced, reply_text = o.text,
           next_hop = i.next_hop, settled_at = case when o.status in ('relayed', 'failed') then now() end
      from moved i,
           json_to_recordset(i.recipients) as o(n int, status text, code int, enhanced text, text text)
     where r.message_id = i.id and r.n = o.n),
  ended as (
    update attempts a
       set ended_at = now(), route = i.route, next_hop = i.next_hop, outcome = i.outcome, reply = i.reply
      from moved i
     where a.message_id = i.id and a.n = i.attempt),
  captured as (
    insert into captures (id, message_id, content_id, reverse_path, forward_paths, subject, marks)
    select i.capture_id, i.id, i.content_id, i.reverse_path,
           array(select o.address from json_to_recordset(i.recipients) as o(address text, status text)
                  where o.status = 'relayed'), i.subject, i.capture_marks
      from moved i where i.capture_id is not null),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state, metadata)
    select i.action, 'message', i.id, i.mailbox_id, 'system', i.worker, 'delivery', 'relaying', i.to_state,
           jsonb_build_object('attempt', i.attempt, 'route', i.route, 'next_hop', i.next_hop, 'reply', i.reply,
             'recipients', i.recipients::jsonb, 'next_attempt_at', i.wake_at)
      from moved i)
  select id from moved`;

/**
 * Writes outcomes by group commit. Resolves to false when the claim was lost meanwhile (another process took
 * the lease away): then nothing was written, and the message is already `in_doubt` or beyond.
 */
export function settling(database: Database, onFlush?: (n: number) => void): Batcher<Outcome, boolean> {
  const lane = database.lane('settle');
  return batcher<Outcome, boolean>({
    lingerMs: 8,
    ...(onFlush && { onFlush }),
    async run(outcomes) {
      const { rows } = await lane.query<{ id: string }>({
        name: 'settle',
        text: SETTLE,
        values: [JSON.stringify(outcomes.map(outcomeRow)), outcomes.map(({ id }) => id)],
      });
      const moved = new Set(rows.map(({ id }) => id));
      return outcomes.map(({ id }) => moved.has(id));
    },
  });
}

/** Whether an outcome under this claim was written: asked when the connection broke while it was. */
export async function wasSettled(db: Db, { id, epoch, attempt }: Outcome): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `select 1 from messages m join attempts a on a.message_id = m.id and a.n = $3
            where m.id = $1 and m.lease_epoch = $2 and m.state <> 'relaying' and a.ended_at is not null`,
    values: [id, epoch, attempt],
  });
  return rowCount === 1;
}

const WORDS = {
  relayed: { outcome: 'relayed', action: 'message.relayed' },
  queued: { outcome: 'deferred', action: 'message.deferred' },
  failed: { outcome: 'failed', action: 'message.failed' },
  in_doubt: { outcome: 'in_doubt', action: 'message.in_doubt' },
} as const;

function outcomeRow(one: Outcome): object {
  return {
    id: one.id,
    worker: one.worker,
    epoch: one.epoch,
    attempt: one.attempt,
    to_state: one.to,
    ...WORDS[one.to],
    recipients: one.recipients,
    route: one.route,
    next_hop: one.nextHop,
    reply: one.reply,
    wake_at: one.wakeAt,
    dsn_owed: one.dsnOwed,
    capture_id: one.captureId,
    capture_marks: one.captureMarks ?? '',
  };
}
