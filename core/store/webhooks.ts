/** Who is told of events, and where. A deleted subscription keeps its row, for the log of what it was sent. */
import { randomBytes } from 'node:crypto';
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import { MAILBOX_EVENTS } from '../mail/webhook-events.ts';
import type { Db } from './database.ts';

export interface Webhook {
  id: string;
  url: string;
  events: string[];
  mailboxId: string | null;
  source: 'api' | keyof typeof MAILBOX_EVENTS;
  createdAt: Date;
  disabledAt: Date | null;
}

export interface NewWebhook {
  url: string;
  events: readonly string[];
  mailboxId: string | null;
  /** Made here when left out. */
  secret?: string | undefined;
  source?: Webhook['source'];
}

const COLUMNS = `id, url, events, mailbox_id as "mailboxId", source, created_at as "createdAt", disabled_at as "disabledAt"`;
/** After a new secret was made the old one still signs too, for whoever has to change it elsewhere. */
const BOTH_SIGN = "interval '24 hours'";

/** `whsec_` and 32 random bytes in base64, as Standard Webhooks wants a secret. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

export async function createWebhook(
  db: Db,
  webhook: NewWebhook,
  actor: Actor,
): Promise<Webhook & { secret: string }> {
  const { rows } = await db.query<Webhook & { secret: string }>({
    text: `with made as (
        insert into webhooks (id, url, events, mailbox_id, source, secret) values ($1, $2, $3::text[], $4, $5, $6)
        returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'webhook.created', 'webhook', id, mailbox_id, $7, $8, $9,
               jsonb_build_object('host', $10::text, 'events', events, 'source', source) from made)
      select ${COLUMNS}, secret from made`,
    values: [
      newId(),
      webhook.url,
      webhook.events,
      webhook.mailboxId,
      webhook.source ?? 'api',
      webhook.secret ?? newSecret(),
      actor.type,
      actor.id,
      actor.name,
      new URL(webhook.url).host,
    ],
  });
  return rows[0]!;
}

export async function listWebhooks(db: Db): Promise<Webhook[]> {
  const { rows } = await db.query<Webhook>(
    `select ${COLUMNS} from webhooks where deleted_at is null order by id desc`,
  );
  return rows;
}

/** The subscription with its secret; the reading is audited in the same statement. */
export async function readWebhookSecret(
  db: Db,
  id: string,
  actor: Actor,
): Promise<(Webhook & { secret: string }) | undefined> {
  const { rows } = await db.query<Webhook & { secret: string }>({
    text: `with found as (select * from webhooks where id = $1 and deleted_at is null),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name)
        select 'webhook.secret_read', 'webhook', id, mailbox_id, $2, $3, $4 from found)
      select ${COLUMNS}, secret from found`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rows[0];
}

/** Switches a subscription on or off, and gives it a new secret; audited. Undefined when there is none. */
export async function updateWebhook(
  db: Db,
  id: string,
  change: { enabled?: boolean | undefined; rotate?: boolean },
  actor: Actor,
): Promise<(Webhook & { secret: string }) | undefined> {
  const { rows } = await db.query<Webhook & { secret: string }>({
    text: `with changed as (
        update webhooks
           set disabled_at = case when $2::boolean then null
                                  when not $2::boolean then coalesce(disabled_at, now()) else disabled_at end,
               previous_secret = case when $3::text is null then previous_secret else secret end,
               previous_secret_until = case when $3::text is null then previous_secret_until
                                            else now() + ${BOTH_SIGN} end,
               secret = coalesce($3::text, secret)
         where id = $1 and deleted_at is null returning *),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'webhook.updated', 'webhook', id, mailbox_id, $4, $5, $6,
               jsonb_strip_nulls(jsonb_build_object('enabled', $2::boolean, 'secret_rotated', $3::text is not null))
          from changed)
      select ${COLUMNS}, secret from changed`,
    values: [
      id,
      change.enabled ?? null,
      change.rotate === true ? newSecret() : null,
      actor.type,
      actor.id,
      actor.name,
    ],
  });
  return rows[0];
}

/** Ends a subscription, audited; where it stands for a field of its mailbox, that is emptied too. False: there is none. */
export async function deleteWebhook(db: Db, id: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with gone as (
        update webhooks set deleted_at = now(), secret = '', previous_secret = null
         where id = $1 and deleted_at is null returning *),
      emptied as (
        update mailboxes m
           set webhook_url = case when gone.source = 'webhook_url' then null else webhook_url end,
               oversight_webhook_url =
                 case when gone.source = 'oversight_webhook_url' then null else oversight_webhook_url end
          from gone where m.id = gone.mailbox_id and gone.source <> 'api'),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name)
        select 'webhook.deleted', 'webhook', id, mailbox_id, $2, $3, $4 from gone)
      select id from gone`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}

/**
 * Makes the subscription that a field of a mailbox stands for what the field says, and the field too. Another
 * address gets another secret: who was told before must not be able to sign for who is told now. `db` is a
 * transaction.
 */
export async function setMailboxWebhook(
  db: Db,
  mailboxId: string,
  source: keyof typeof MAILBOX_EVENTS,
  url: string | null,
  actor: Actor,
): Promise<void> {
  await db.query({ text: 'select 1 from mailboxes where id = $1 for update', values: [mailboxId] });
  const { rows } = await db.query<Webhook>({
    text: `select ${COLUMNS} from webhooks where mailbox_id = $1 and source = $2 and deleted_at is null`,
    values: [mailboxId, source],
  });
  const present = rows[0];
  if ((present?.url ?? null) !== url) {
    if (present !== undefined) await deleteWebhook(db, present.id, actor);
    if (url !== null)
      await createWebhook(db, { url, events: MAILBOX_EVENTS[source], mailboxId, source }, actor);
  }
  await db.query({
    text:
      source === 'webhook_url'
        ? 'update mailboxes set webhook_url = $2 where id = $1'
        : 'update mailboxes set oversight_webhook_url = $2 where id = $1',
    values: [mailboxId, url],
  });
}
