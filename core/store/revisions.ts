/** What became of a message under review: its edits, and the receipts of its approvals. */
import type { Db } from './database.ts';

export interface RevisionFacts {
  digest: string;
  previousDigest: string;
  editedBy: string;
  editedAt: Date;
  changed: string[];
  reason: string | null;
  /** Null once retention has removed the text it speaks of. */
  diff: string | null;
}

export interface ReviewFacts {
  threadId: string;
  contentId: string;
  /** Oldest first. */
  revisions: RevisionFacts[];
  /** By the id of the approval. */
  receipts: Map<string, string>;
}

/** The history of one message, beyond what `readMessage` knows. */
export async function readReview(db: Db, messageId: string): Promise<ReviewFacts | undefined> {
  const [message, revisions, receipts] = await Promise.all([
    db.query<{ threadId: string; contentId: string }>({
      text: `select coalesce(thread_id, id) as "threadId", content_id as "contentId" from messages where id = $1`,
      values: [messageId],
    }),
    db.query<RevisionFacts>({
      text: `select encode(digest, 'hex') as digest, encode(previous_digest, 'hex') as "previousDigest",
          edited_by as "editedBy", edited_at as "editedAt", changed, reason, diff
        from revisions where message_id = $1 order by id`,
      values: [messageId],
    }),
    db.query<{ id: string; receipt: string }>({
      text: 'select id, receipt from approvals where message_id = $1 and receipt is not null',
      values: [messageId],
    }),
  ]);
  const row = message.rows[0];
  if (row === undefined) return undefined;
  return {
    ...row,
    revisions: revisions.rows,
    receipts: new Map(receipts.rows.map(({ id, receipt }) => [id, receipt])),
  };
}

/** Whether what is held was changed by anyone since it is held: then a decision has to name what it is for. */
export async function editedSinceHeld(db: Db, messageId: string): Promise<boolean> {
  const { rows } = await db.query<{ edited: boolean }>({
    text: `select exists (
        select from holds h join revisions r on r.message_id = h.message_id and r.edited_at >= h.held_at
         where h.message_id = $1 and h.closed_at is null) as edited`,
    values: [messageId],
  });
  return rows[0]!.edited;
}
