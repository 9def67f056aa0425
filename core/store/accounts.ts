/** Mailboxes as they are managed: made, listed, changed. The look-ups of the SMTP door are in mailboxes.ts. */
import type { Actor } from '../mail/actor.ts';
import { mailboxKey } from '../mail/address.ts';
import { isId, newId } from '../mail/id.ts';
import { MODES, type Mode } from '../mail/mode.ts';
import type { Db } from './database.ts';

export interface MailboxFacts {
  id: string;
  address: string;
  displayName: string | null;
  oversightMode: Mode;
  oversightAddress: string | null;
  route: string | null;
  gateTiming: 'gate_first' | 'schedule_first';
  holdExpiryHours: number;
  /** Added to the recipients of what is sent from it. */
  autoCc: string | null;
  autoBcc: string | null;
  forwardInbound: boolean;
  webhookUrl: string | null;
  oversightWebhookUrl: string | null;
  signatureBlock: string | null;
  mcpConfigured: boolean;
  schedulingEnabled: boolean;
  isActive: boolean;
  createdAt: Date;
}

export interface NewMailbox {
  address: string;
  displayName?: string | null;
  oversightMode: Mode;
  oversightAddress?: string | null;
  route?: string | null;
  gateTiming?: 'gate_first' | 'schedule_first';
  holdExpiryHours?: number;
  /** False where a program made it, and nobody has looked at its settings yet. */
  mcpConfigured?: boolean;
}

/** What may be changed beside the mode; a key left out stays as it is. */
export type MailboxChanges = Partial<Pick<MailboxFacts, keyof typeof CHANGEABLE>>;

/** Member and column. */
const CHANGEABLE = {
  displayName: 'display_name',
  oversightAddress: 'oversight_address',
  route: 'route',
  gateTiming: 'gate_timing',
  holdExpiryHours: 'hold_expiry_hours',
  autoCc: 'auto_cc',
  autoBcc: 'auto_bcc',
  forwardInbound: 'forward_inbound',
  webhookUrl: 'webhook_url',
  oversightWebhookUrl: 'oversight_webhook_url',
  signatureBlock: 'signature_block',
  mcpConfigured: 'mcp_configured',
  schedulingEnabled: 'scheduling_enabled',
  isActive: 'is_active',
} as const;
const NAMES = Object.keys(CHANGEABLE) as (keyof typeof CHANGEABLE)[];

/** The columns of `mailboxes` that make a MailboxFacts. */
export const COLUMNS = `id, address, oversight_mode as "oversightMode", created_at as "createdAt",
  ${NAMES.map((name) => `${CHANGEABLE[name]} as "${name}"`).join(', ')}`;

/** Those there are: not the one of our own notices, and none that was deleted. */
export const LIVING = 'not is_system and deleted_at is null';

/** Makes a mailbox. Undefined: the address is, or was, somebody's. */
export async function createMailbox(
  db: Db,
  mailbox: NewMailbox,
  actor: Actor,
): Promise<MailboxFacts | undefined> {
  const { rows } = await db.query<MailboxFacts>({
    text: `with made as (
        insert into mailboxes (id, address, address_key, display_name, oversight_mode, oversight_address, route,
          gate_timing, hold_expiry_hours, mcp_configured)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $13)
        on conflict (address_key) do nothing returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'mailbox.created', 'mailbox', id, id, $10, $11, $12,
               jsonb_build_object('address', address, 'oversight_mode', oversight_mode) from made)
      select ${COLUMNS} from made`,
    values: [
      newId(),
      mailbox.address,
      mailboxKey(mailbox.address),
      mailbox.displayName ?? null,
      mailbox.oversightMode,
      mailbox.oversightAddress ?? null,
      mailbox.route ?? null,
      mailbox.gateTiming ?? 'gate_first',
      mailbox.holdExpiryHours ?? 168,
      actor.type,
      actor.id,
      actor.name,
      mailbox.mcpConfigured ?? true,
    ],
  });
  return rows[0];
}

export async function listMailboxes(db: Db): Promise<MailboxFacts[]> {
  const { rows } = await db.query<MailboxFacts>(
    `select ${COLUMNS} from mailboxes where ${LIVING} order by id`,
  );
  return rows;
}

/** A mailbox by its id or its whole address; one that was deleted only where `deleted` says so. */
export async function findMailbox(
  db: Db,
  idOrAddress: string,
  { deleted = false }: { deleted?: boolean } = {},
): Promise<MailboxFacts | undefined> {
  const byId = isId(idOrAddress);
  const { rows } = await db.query<MailboxFacts>({
    name: byId ? 'find-mailbox-account' : 'find-mailbox-account-by-address',
    text: `select ${COLUMNS} from mailboxes
            where ${byId ? 'id' : 'address_key'} = $1 and not is_system and ($2 or deleted_at is null)`,
    values: [byId ? idOrAddress : mailboxKey(idOrAddress), deleted],
  });
  return rows[0];
}

/** A mailbox by its id, which nobody else changes until the transaction of `db` is over. */
export async function lockMailbox(db: Db, id: string): Promise<MailboxFacts | undefined> {
  const { rows } = await db.query<MailboxFacts>({
    text: `select ${COLUMNS} from mailboxes where id = $1 and ${LIVING} for update`,
    values: [id],
  });
  return rows[0];
}

/** Whether a mailbox may, or once could, be called so: then no other ever will be. */
export async function isAddressTaken(db: Db, address: string): Promise<boolean> {
  const { rows } = await db.query({
    text: 'select 1 from mailboxes where address_key = $1',
    values: [mailboxKey(address)],
  });
  return rows.length > 0;
}

/**
 * The domains a mailbox made by a program may be at, the one meant when it names none first: those of the
 * mailboxes there are, the oldest mailbox's first, then those whose owner has proved them.
 */
export async function openDomains(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ domain: string }>(
    `select domain from (
       select substring(address_key from '[^@]*$') as domain, 1 as kind, id from mailboxes where ${LIVING}
       union all select domain, 2, id from domains where status = 'active') as known
      group by domain order by min(kind || id)`,
  );
  return rows.map(({ domain }) => domain);
}

/** Changes a mailbox and audits what became different. Undefined when there is no such mailbox. */
export async function updateMailbox(
  db: Db,
  id: string,
  changes: MailboxChanges,
  actor: Actor,
): Promise<MailboxFacts | undefined> {
  const before = await findMailbox(db, id);
  if (before === undefined) return undefined;
  const changed = NAMES.filter((name) => changes[name] !== undefined && changes[name] !== before[name]);
  if (changed.length === 0) return before;
  const audited = changed.map((name) => [
    name,
    { from: audible(name, before[name]), to: audible(name, changes[name]) },
  ]);
  const { rows } = await db.query<MailboxFacts>({
    text: `with changed as (
        update mailboxes
           set changed_at = now(), ${changed.map((name, i) => `${CHANGEABLE[name]} = $${i + 6}`).join(', ')}
         where id = $1 and ${LIVING} returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'mailbox.updated', 'mailbox', id, id, $2, $3, $4, $5::jsonb from changed)
      select ${COLUMNS} from changed`,
    values: [
      id,
      actor.type,
      actor.id,
      actor.name,
      JSON.stringify(Object.fromEntries(audited)),
      ...changed.map((name) => changes[name]),
    ],
  });
  return rows[0];
}

/** A value as the audit may keep it: the path of a webhook's URL is often its password. */
function audible(name: keyof typeof CHANGEABLE, value: unknown): unknown {
  if (typeof value !== 'string' || !/webhook/i.test(name)) return value;
  return URL.canParse(value) ? new URL(value).origin : null;
}

export interface ModeChange {
  previous: Mode;
  mode: Mode;
}

/** Whether going from one mode to the other takes some of people's say away. */
export function loosens(from: Mode, to: Mode): boolean {
  return MODES.indexOf(to) < MODES.indexOf(from);
}

/**
 * Sets the mode of a mailbox, audited as `mode.tightened` or `mode.upgraded`. Whether the caller may loosen it
 * is the caller's question; nothing that is held becomes free by it. With `onlyTighten` a looser mode changes
 * nothing; nor does any where the mailbox is in another mode than `onlyFrom`. Undefined when there is no such mailbox.
 */
export async function setMode(
  db: Db,
  id: string,
  mode: Mode,
  actor: Actor,
  { onlyTighten = false, onlyFrom = null }: { onlyTighten?: boolean; onlyFrom?: Mode | null } = {},
): Promise<ModeChange | undefined> {
  const { rows } = await db.query<ModeChange>({
    text: `with before as (select id, oversight_mode from mailboxes where id = $1 and ${LIVING} for update),
      changed as (
        update mailboxes b set oversight_mode = $2, changed_at = now() from before
         where b.id = before.id and before.oversight_mode <> $2
           and (not $3 or mode_rank($2) > mode_rank(before.oversight_mode))
           and ($7::text is null or before.oversight_mode = $7)
        returning b.id, before.oversight_mode as was),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select case when mode_rank($2) > mode_rank(was) then 'mode.tightened' else 'mode.upgraded' end,
               'mailbox', id, id, $4, $5, $6, jsonb_build_object('from', was, 'to', $2::text) from changed)
      select before.oversight_mode as previous,
             case when changed.id is null then before.oversight_mode else $2::text end as mode
        from before left join changed using (id)`,
    values: [id, mode, onlyTighten, actor.type, actor.id, actor.name, onlyFrom],
  });
  return rows[0];
}
