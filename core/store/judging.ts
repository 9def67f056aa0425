import type { State } from '../mail/lifecycle.ts';
import type { Mode } from '../mail/mode.ts';
import { type Batcher, batcher } from './batcher.ts';
import type { Database, Db } from './database.ts';
import type { Lane } from './lane.ts';
import { insertMessages, type NewMessage, ROW_COLUMNS, toRow } from './new-message.ts';

/** A message that waits for a verdict, with everything the verdict may depend on. */
export interface Case {
  id: string;
  state: State;
  kind: NewMessage['kind'];
  direction: NewMessage['direction'];
  source: NewMessage['source'];
  mailboxId: string;
  mailboxAddress: string;
  composerId: string | null;
  reversePath: string;
  forwardPaths: string[];
  contentId: string;
  size: number;
  contentSha256: Buffer;
  subject: string;
  facts: unknown;
  tags: Record<string, string>;
  agent: string | null;
  internetMessageId: string | null;
  smtputf8: boolean;
  body8bit: boolean;
  requestedMode: string | null;
  mailboxMode: string;
  mailboxActive: boolean;
  /** Where its copy goes, if there is one: the mailbox's overseer, else the account's. Null where neither mode nor mailbox asks for any. */
  oversightAddress: string | null;
  /** The mailbox of ours that this address names, if any. */
  oversightMailboxId: string | null;
  holdExpiryHours: number;
  gateTiming: 'gate_first' | 'schedule_first';
  sendAt: Date | null;
  createdAt: Date;
  /** True when every forward-path matches an entry of the mailbox's allowlist. */
  allowlisted: boolean;
  /** True when someone who may approved exactly this envelope and content. */
  approved: boolean;
  /** The moment of reading, by the database's clock: the only clock a verdict knows. */
  now: Date;
}

// Each offset keeps its look-up a look-up by key, in a plan that is kept from when the tables were empty. The account
// is one row and read once for them all; who oversees is looked up only for mail that may be copied.
const CASES = `select m.id, m.state, m.kind, m.direction, m.source, m.mailbox_id as "mailboxId",
        b.address as "mailboxAddress", m.composer_id as "composerId", m.reverse_path as "reversePath",
        m.forward_paths as "forwardPaths", m.content_id as "contentId", m.size, c.sha256 as "contentSha256",
        m.subject, m.facts, m.tags, m.agent, m.internet_message_id as "internetMessageId", m.smtputf8,
        m.body_8bit as "body8bit", m.requested_mode as "requestedMode", b.oversight_mode as "mailboxMode",
        b.is_active as "mailboxActive", w.address as "oversightAddress",
        b.hold_expiry_hours as "holdExpiryHours", coalesce(m.gate_timing, b.gate_timing) as "gateTiming",
        m.send_at as "sendAt", m.created_at as "createdAt",
        b.oversight_mode = 'gated_send' and m.direction = 'outbound'
          and allowlist_covers(m.mailbox_id, m.forward_paths) as allowlisted,
        m.state = 'scheduled' and approved(m.id, m.digest, m.composer_id) as approved,
        o.id as "oversightMailboxId", now() as now
      from messages m
      cross join lateral (select * from mailboxes where id = m.mailbox_id offset 0) b
      cross join lateral (
        select case when (m.direction = 'inbound' and b.forward_inbound)
                      or (m.direction = 'outbound' and 'monitored' in (b.oversight_mode, m.requested_mode))
               then coalesce(b.oversight_address, (select oversight_address from account)) end as address offset 0) w
      left join lateral (select id from mailboxes where address_key = lower(w.address) offset 0) o on true
      cross join lateral (select sha256 from contents where id = m.content_id offset 0) c`;

/** The cases among `ids` that wait for a verdict: `received`, and `scheduled` whose time has come. */
export async function readCases(db: Db | Lane, ids: string[]): Promise<Case[]> {
  const { rows } = await db.query<Case>({
    name: 'read-cases',
    text: `${CASES}
     where m.id = any($1::text[])
       and (m.state = 'received' or (m.state = 'scheduled' and m.send_at <= now()))`,
    values: [ids],
  });
  return rows;
}

/** One message as a verdict would see it, wherever it stands; undefined when it or its bytes are gone. */
export async function readCase(db: Db, id: string): Promise<Case | undefined> {
  const { rows } = await db.query<Case>({
    name: 'read-case',
    text: `${CASES} where m.id = $1`,
    values: [id],
  });
  return rows[0];
}

/** A verdict as it is to be written; what does not apply is null. */
export interface Ruling {
  id: string;
  from: State;
  to: State;
  /** The audit's word for it, such as `message.held`. */
  action: string;
  mode: Mode;
  releasedBy: 'mode' | 'allowlist' | 'approval' | 'postern' | null;
  hold: { id: string; reasons: string[]; expiresAt: Date } | null;
  /** When to ring again; `null` ends the message's wake-ups, `'keep'` leaves the present one. */
  wakeAt: Date | null | 'keep';
  statusReason: string | null;
  dsnOwed: 'rejected' | null;
  metadata: object;
  /** Copies for the overseer, sharing the message's bytes. */
  copies: NewMessage[];
}

// The ids also come as an array: see core/store/outcomes.ts.
const RULE = `with input as (
    select * from json_to_recordset($1::json) as t(id text, from_state text, to_state text, action text, mode text,
      released_by text, hold_id text, reasons text[], expires_at timestamptz, wake_at timestamptz, keep_wake boolean,
      status_reason text, dsn_owed text, metadata jsonb, copies json)),
  moved as (
    update messages m
       set state = i.to_state, effective_mode = i.mode, released_by = i.released_by,
           status_reason = i.status_reason, dsn_owed = i.dsn_owed, changed_at = now(),
           queued_at = case when i.to_state = 'queued' then now() end,
           wake_at = case when i.keep_wake then m.wake_at else i.wake_at end
      from input i
     where m.id = any($2::text[]) and m.id = i.id and m.state = i.from_state
    returning m.mailbox_id, i.*),
  held as (
    insert into holds (id, message_id, mailbox_id, reasons, expires_at)
    select hold_id, id, mailbox_id, reasons, expires_at from moved where hold_id is not null
    -- a hold still open: the message was moved out of it by hand
    on conflict (message_id) where closed_at is null
      do update set reasons = excluded.reasons, expires_at = excluded.expires_at),
  copies as (
    select t.* from moved, json_to_recordset(moved.copies) as t(${ROW_COLUMNS})),
  ${insertMessages('copies')},
  copied as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name, metadata)
    select 'message.copied', 'message', about_id, mailbox_id, 'system', 'policy',
           jsonb_build_object('copy', id, 'to', forward_paths) from copies),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
      from_state, to_state, metadata)
    select action, 'message', id, mailbox_id, 'system', 'policy', from_state, to_state,
           metadata || jsonb_build_object('effective_mode', mode)
      from moved)
  select id from moved`;

/** Writes rulings by group commit. Resolves to whether the message was still where the ruling believed it. */
export function ruling(database: Database, onFlush?: (n: number) => void): Batcher<Ruling, boolean> {
  // Nobody is promised a verdict: one that a crash of PostgreSQL takes away, with its audit row, is given again,
  // since the row is `received` still. And what it let go cannot leave before the claim, whose commit waits for the
  // disk and takes everything before it along.
  const lane = database.lane('rule', { durable: false });
  return batcher<Ruling, boolean>({
    lingerMs: 8,
    ...(onFlush && { onFlush }),
    async run(rulings) {
      // In one order for everybody: two workers with the same rows then wait for each other, and do not deadlock.
      const sorted = rulings.toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const { rows } = await lane.query<{ id: string }>({
        name: 'rule',
        text: RULE,
        values: [JSON.stringify(sorted.map(rulingRow)), sorted.map(({ id }) => id)],
      });
      const moved = new Set(rows.map(({ id }) => id));
      return rulings.map(({ id }) => moved.has(id));
    },
  });
}

function rulingRow(one: Ruling): object {
  return {
    id: one.id,
    from_state: one.from,
    to_state: one.to,
    action: one.action,
    mode: one.mode,
    released_by: one.releasedBy,
    hold_id: one.hold?.id,
    reasons: one.hold?.reasons,
    expires_at: one.hold?.expiresAt,
    wake_at: one.wakeAt === 'keep' ? null : one.wakeAt,
    keep_wake: one.wakeAt === 'keep',
    status_reason: one.statusReason,
    dsn_owed: one.dsnOwed,
    metadata: one.metadata,
    copies: one.copies.length === 0 ? undefined : one.copies.map(toRow),
  };
}
