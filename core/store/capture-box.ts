/** The capture box as it is read: mail that a `capture` route kept from the internet. */
import type { Actor } from '../mail/actor.ts';
import type { Db } from './database.ts';

export interface CaptureFacts {
  id: string;
  messageId: string;
  /** Null when the message is gone. */
  kind: string | null;
  /** Of a copy, report or notice: the message it speaks of. */
  aboutId: string | null;
  mailboxId: string | null;
  reversePath: string;
  forwardPaths: string[];
  subject: string;
  size: number | null;
  capturedAt: Date;
}

const CAPTURES = `select c.id, c.message_id as "messageId", m.kind, m.about_id as "aboutId",
    m.mailbox_id as "mailboxId", c.reverse_path as "reversePath",
    c.forward_paths as "forwardPaths", c.subject, b.size + octet_length(c.marks) as size, c.captured_at as "capturedAt"
  from captures c left join messages m on m.id = c.message_id left join contents b on b.id = c.content_id`;

/** Postern's own mail may hold codes: it is for those who oversee, not for those whom the codes are to keep out. */
const visibleTo = (overseer: string) =>
  `(${overseer} or not exists (select 1 from mailboxes s where s.id = m.mailbox_id and s.is_system))`;

/** Who looks into the box: a key of one mailbox, or of all; and whether it belongs to people who oversee. */
export interface Viewer {
  onlyMailbox: string | null;
  overseer: boolean;
}

/** Newest first. */
export async function listCaptures(
  db: Db,
  filter: Viewer & {
    messageId: string | null;
    to: string | null;
    afterId: string | null;
    limit: number;
  },
): Promise<{ captures: CaptureFacts[]; more: boolean }> {
  const { rows } = await db.query<CaptureFacts>({
    text: `${CAPTURES}
     where ($1::text is null or m.mailbox_id = $1)
       and ($2::text is null or c.message_id = $2)
       and ($3::text is null or exists (select 1 from unnest(c.forward_paths) path where lower(path) = lower($3)))
       and ($4::text is null or c.id < $4) and ${visibleTo('$6')}
     order by c.id desc limit $5`,
    values: [
      filter.onlyMailbox,
      filter.messageId,
      filter.to,
      filter.afterId,
      filter.limit + 1,
      filter.overseer,
    ],
  });
  return { captures: rows.slice(0, filter.limit), more: rows.length > filter.limit };
}

export async function readCapture(
  db: Db,
  id: string,
  { onlyMailbox, overseer }: Viewer,
): Promise<CaptureFacts | undefined> {
  const { rows } = await db.query<CaptureFacts>({
    text: `${CAPTURES} where c.id = $1 and ($2::text is null or m.mailbox_id = $2) and ${visibleTo('$3')}`,
    values: [id, onlyMailbox, overseer],
  });
  return rows[0];
}

/** The bytes as a next hop would have got them. */
export async function readCapturedBytes(
  db: Db,
  id: string,
  { onlyMailbox, overseer }: Viewer,
): Promise<Buffer | undefined> {
  const { rows } = await db.query<{ bytes: Buffer }>({
    text: `select convert_to(c.marks, 'UTF8') || b.bytes as bytes from captures c join contents b on b.id = c.content_id
             left join messages m on m.id = c.message_id
            where c.id = $1 and ($2::text is null or m.mailbox_id = $2) and ${visibleTo('$3')}`,
    values: [id, onlyMailbox, overseer],
  });
  return rows[0]?.bytes;
}

/** Empties the box; the messages and their history stay. Returns how many it held. */
export async function emptyCaptures(db: Db, actor: Actor): Promise<number> {
  const { rows } = await db.query<{ count: number }>({
    text: `with gone as (delete from captures returning id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
        select 'capture.emptied', 'capture', 'capture', $1, $2, $3, jsonb_build_object('count', (select count(*) from gone)))
      select count(*) as count from gone`,
    values: [actor.type, actor.id, actor.name],
  });
  return rows[0]!.count;
}
