/** Drafts of composed mail: what it takes to compose a message anew. They go with the message's text. */
import type { Db } from './database.ts';

/** A draft with the bytes it was written to. `draft` is as core/compose/draft.ts has it. */
export interface Composition {
  draft: unknown;
  contentId: string;
  size: number;
}

/** The draft of a message, and where its bytes are; undefined for mail that was not composed here. */
export async function readComposition(db: Db, messageId: string): Promise<Composition | undefined> {
  const { rows } = await db.query<Composition>({
    name: 'read-composition',
    text: `select c.draft, m.content_id as "contentId", m.size
             from compositions c join messages m on m.id = c.message_id where c.message_id = $1`,
    values: [messageId],
  });
  return rows[0];
}
