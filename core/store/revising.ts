/**
 * A message that waits is changed: other recipients, other text, another hour.
 *
 *   scheduled ─┬─ another hour ───────────────────────────▶ scheduled
 *              ├─ other content ───────────────────────────▶ received    (judged and scanned anew)
 *              └─ other content, and was approved ─────────▶ held        (the approval was for another digest)
 *   held ───────── other content ──────────────────────────▶ held        (the hold and its expiry go on)
 *
 * An approval is for one digest, so changed content is unapproved by itself: nothing needs to be taken back. Id,
 * Message-ID and place in lists stay.
 *
 * A reviewer's edit gives `digest` (what the reviewer saw), `from` and `to` as above, `written` from
 * `recompose` and `storedForm` (core/compose), `revision` with changed members, reason and diff, and the audit action
 * `message.edited`. Of a message that came by SMTP only the envelope can be written: `content` and `draft` null.
 */
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Mode } from '../mail/mode.ts';
import { insertContents, packContents } from './contents.ts';
import type { Database, Db } from './database.ts';
import { lockMessages } from './locking.ts';
import { type NewContent, UNATTENDED } from './new-message.ts';

export interface Revision {
  messageId: string;
  /** Hex: the content that the change was made to. */
  digest: string;
  from: 'held' | 'scheduled';
  to: 'held' | 'scheduled' | 'received';
  /** For a message that becomes held, or stays so: then its expiry stays too. `mode` is what it is held under. */
  hold?: { reasons: string[]; expiresAt: Date; mode: Mode };
  /** What is other than before; left out when only the hour is. */
  written?: Written;
  /** Left out: it stays. */
  sendAt?: Date;
  /** Nothing is changed when an approval covers what stands there now. */
  unlessApproved?: boolean;
  audit: { action: 'message.edited' | 'message.rescheduled'; actor: Actor; metadata: object };
  /** Kept beside the message, with who edited it. */
  revision?: {
    principal: { id: string; name: string };
    changed: string[];
    reason: string | null;
    diff: string | null;
  };
}

export interface Written {
  forwardPaths: string[];
  /** Hex, of envelope and content as they are to be. */
  digest: string;
  smtputf8: boolean;
  /** New bytes with what follows from them; null where the bytes stay. */
  content: (NewContent & { size: number; body8bit: boolean; subject: string; facts: object }) | null;
  /** The draft as it is to be kept; null for mail that has none. */
  draft: object | null;
}

const REVISE = `with written as (
    select * from json_to_record($2::json) as t(forward_paths text[], digest text, smtputf8 boolean, content_id text,
      size int, body_8bit boolean, subject text, facts jsonb)),
  before as (
    select m.id, m.content_id, encode(m.digest, 'hex') as digest, m.forward_paths from messages m
     where m.id = $1 and m.state = $5 and m.digest = decode($6, 'hex')
       and not ($7 and approved(m.id, m.digest, m.composer_id))
       and (m.state <> 'held' or exists (
         select 1 from holds h where h.message_id = m.id and h.closed_at is null and h.expires_at > now()))),
  moved as (
    update messages m
       set state = $8, changed_at = now(), effective_mode = coalesce($20, m.effective_mode), send_at = coalesce($9::timestamptz, m.send_at),
           forward_paths = coalesce(w.forward_paths, m.forward_paths),
           digest = coalesce(decode(w.digest, 'hex'), m.digest), smtputf8 = coalesce(w.smtputf8, m.smtputf8),
           content_id = coalesce(w.content_id, m.content_id), size = coalesce(w.size, m.size),
           body_8bit = coalesce(w.body_8bit, m.body_8bit), subject = coalesce(w.subject, m.subject),
           facts = coalesce(w.facts, m.facts),
           released_by = case when $5 = $8 then m.released_by end,
           queued_at = case when $5 = $8 then m.queued_at end,
           wake_at = case when $8 = 'received' then now() + ${UNATTENDED}
                          when $8 = 'scheduled' then coalesce($9::timestamptz, m.send_at)
                          when $5 = 'held' then m.wake_at else $10::timestamptz end
      from before, written w where m.id = before.id
    returning m.id, m.mailbox_id, before.content_id as was, before.digest as previous, m.digest,
      before.forward_paths as from_paths, m.forward_paths as to_paths),
  ${insertContents('$3', '$4', 'exists (select from moved)')},
  -- Bytes that nothing speaks of any more; a copy for the overseer may share them.
  dropped as (
    delete from contents c using moved, written w
     where c.id = moved.was and w.content_id is not null
       and not exists (select 1 from messages m where m.about_id = moved.id and m.content_id = moved.was)),
  held as (
    insert into holds (id, message_id, mailbox_id, reasons, expires_at)
    select $11, id, mailbox_id, $12, $10 from moved where $5 <> 'held' and $8 = 'held'),
  held_on as (
    -- The link of the notice was for what it was before: there is to be another.
    update holds h
       set reasons = case when cardinality($12::text[]) > 0 then $12 else h.reasons end, notified_at = null
      from moved
     where $5 = 'held' and $8 = 'held' and h.message_id = moved.id and h.closed_at is null),
  drafted as (
    update compositions c set draft = $13::jsonb from moved where c.message_id = moved.id and $13::jsonb is not null),
  revised as (
    insert into revisions (id, message_id, digest, previous_digest, edited_by_id, edited_by, changed, reason, diff)
    select r.id, moved.id, moved.digest, decode(moved.previous, 'hex'), r.by_id, r.by_name, r.changed, r.reason, r.diff
      from moved, json_to_record($14::json) as r(id text, by_id text, by_name text, changed text[], reason text,
        diff text)
     where r.id is not null),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state, metadata)
    select $15, 'message', id, mailbox_id, $16, $17, $18,
           case when $5 <> $8 then $5 end, case when $5 <> $8 then $8 end,
           jsonb_build_object('content_digest', encode(digest, 'hex'), 'previous_digest', previous) || $19::jsonb ||
             case when from_paths <> to_paths
                  then jsonb_build_object('to_before', from_paths, 'to', to_paths) else '{}' end
      from moved)
  select id from moved`;

/**
 * Changes a waiting message, all of it or nothing, with its audit event. False: nothing was changed, because it is
 * not where `from` says, its digest is another, its hold has expired, or it is approved where that counts.
 */
export async function revise(database: Database, revision: Revision): Promise<boolean> {
  return database.transaction(async (db) => {
    await lockMessages(db, [revision.messageId]);
    const { rowCount } = await db.query({ name: 'revise', text: REVISE, values: valuesOf(revision) });
    if (rowCount !== 1) return false;
    if (revision.written !== undefined) await replaceRecipients(db, revision.messageId);
    return true;
  });
}

/** Nobody was tried yet, so there is no fare to be kept. */
async function replaceRecipients(db: Db, messageId: string): Promise<void> {
  await db.query({ text: 'delete from recipients where message_id = $1', values: [messageId] });
  await db.query({
    text: `insert into recipients (message_id, n, address)
           select m.id, path.n - 1, path.address from messages m, unnest(m.forward_paths) with ordinality as path(address, n)
            where m.id = $1 and m.direction = 'outbound'`,
    values: [messageId],
  });
}

function valuesOf({
  messageId,
  digest,
  from,
  to,
  hold,
  written,
  sendAt,
  unlessApproved,
  audit,
  revision,
}: Revision) {
  const content = written?.content ?? null;
  const [index, bytes] = packContents(content === null ? [] : [content]);
  const row = written && {
    forward_paths: written.forwardPaths,
    digest: written.digest,
    smtputf8: written.smtputf8,
    ...(content !== null && {
      content_id: content.id,
      size: content.size,
      body_8bit: content.body8bit,
      subject: content.subject,
      facts: content.facts,
    }),
  };
  const edit = revision && {
    id: newId(),
    by_id: revision.principal.id,
    by_name: revision.principal.name,
    changed: revision.changed,
    reason: revision.reason,
    diff: revision.diff,
  };
  return [
    messageId,
    JSON.stringify(row ?? {}),
    index,
    bytes,
    from,
    digest,
    unlessApproved === true,
    to,
    sendAt ?? null,
    hold?.expiresAt ?? null,
    newId(),
    hold?.reasons ?? [],
    written?.draft == null ? null : JSON.stringify(written.draft),
    JSON.stringify(edit ?? {}),
    audit.action,
    audit.actor.type,
    audit.actor.id,
    audit.actor.name,
    JSON.stringify(audit.metadata),
    hold?.mode ?? null,
  ];
}
