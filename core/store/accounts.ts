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
}

/** What may be changed beside the mode; a key left out stays as it is. */
export type MailboxChanges = Partial<Pick<MailboxFacts, (typeof CHANGEABLE)[number]>>;

const CHANGEABLE = [
  'displayName',
  'oversightAddress',
  'route',
  'gateTiming',
  'holdExpiryHours',
  'isActive',
] as const;

const COLUMNS = `id, address, display_name as "displayName", oversight_mode as "oversightMode",
  oversight_address as "oversightAddress", route, gate_timing as "gateTiming", hold_expiry_hours as "holdExpiryHours",
  is_active as "isActive", created_at as "createdAt"`;

/** Makes a mailbox. Undefined: the address is, or was, somebody's. */
export async function createMailbox(
  db: Db,
  mailbox: NewMailbox,
  actor: Actor,
): Promise<MailboxFacts | undefined> {
  const { rows } = await db.query<MailboxFacts>({
    text: `with made as (
        insert into mailboxes (id, address, address_key, display_name, oversight_mode, oversight_address, route,
          gate_timing, hold_expiry_hours)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
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
    ],
  });
  return rows[0];
}

export async function listMailboxes(db: Db): Promise<MailboxFacts[]> {
  const { rows } = await db.query<MailboxFacts>(`select ${COLUMNS} from mailboxes order by id`);
  return rows;
}

/** A mailbox by its id or its whole address. */
export async function findMailbox(db: Db, idOrAddress: string): Promise<MailboxFacts | undefined> {
  const { rows } = await db.query<MailboxFacts>({
    name: 'find-mailbox-account',
    text: `select ${COLUMNS} from mailboxes where ${isId(idOrAddress) ? 'id' : 'address_key'} = $1`,
    ...(isId(idOrAddress) ? {} : { name: 'find-mailbox-account-by-address' }),
    values: [isId(idOrAddress) ? idOrAddress : mailboxKey(idOrAddress)],
  });
  return rows[0];
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
  const changed = CHANGEABLE.filter((name) => changes[name] !== undefined && changes[name] !== before[name]);
  if (changed.length === 0) return before;
  const after = { ...before, ...Object.fromEntries(changed.map((name) => [name, changes[name]])) };
  const { rows } = await db.query<MailboxFacts>({
    text: `with changed as (
        update mailboxes
           set display_name = $2, oversight_address = $3, route = $4, gate_timing = $5, hold_expiry_hours = $6,
               is_active = $7, changed_at = now()
         where id = $1 returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'mailbox.updated', 'mailbox', id, id, $8, $9, $10, $11::jsonb from changed)
      select ${COLUMNS} from changed`,
    values: [
      id,
      after.displayName,
      after.oversightAddress,
      after.route,
      after.gateTiming,
      after.holdExpiryHours,
      after.isActive,
      actor.type,
      actor.id,
      actor.name,
      JSON.stringify(
        Object.fromEntries(changed.map((name) => [name, { from: before[name], to: after[name] }])),
      ),
    ],
  });
  return rows[0];
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
 * nothing. Undefined when there is no such mailbox.
 */
export async function setMode(
  db: Db,
  id: string,
  mode: Mode,
  actor: Actor,
  { onlyTighten = false }: { onlyTighten?: boolean } = {},
): Promise<ModeChange | undefined> {
  const { rows } = await db.query<ModeChange>({
    text: `with before as (select id, oversight_mode from mailboxes where id = $1 for update),
      changed as (
        update mailboxes b set oversight_mode = $2, changed_at = now() from before
         where b.id = before.id and before.oversight_mode <> $2
           and (not $3 or mode_rank($2) > mode_rank(before.oversight_mode))
        returning b.id, before.oversight_mode as was),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select case when mode_rank($2) > mode_rank(was) then 'mode.tightened' else 'mode.upgraded' end,
               'mailbox', id, id, $4, $5, $6, jsonb_build_object('from', was, 'to', $2::text) from changed)
      select before.oversight_mode as previous,
             case when changed.id is null then before.oversight_mode else $2::text end as mode
        from before left join changed using (id)`,
    values: [id, mode, onlyTighten, actor.type, actor.id, actor.name],
  });
  return rows[0];
}
