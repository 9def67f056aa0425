/**
 * Lists of messages, page by page. A page ends with a cursor that names the last id on it, so pages neither
 * repeat nor skip a message while mail arrives.
 */
import type { State } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';
import { MESSAGE_COLUMNS, MESSAGE_TABLES, type MessageFacts } from './messages.ts';

export interface MessageFilter {
  mailboxId?: string | null;
  states?: State[] | null;
  direction?: 'inbound' | 'outbound' | null;
  kind?: MessageFacts['kind'] | null;
  /** Messages after this one, oldest first; without it, newest first. */
  sinceId?: string | null;
  /** Continue behind this id, in the direction the list runs. */
  afterId?: string | null;
  sender?: string | null;
  subjectContains?: string | null;
  /** A key with any value, or with exactly this one. */
  tag?: { key: string; value: string | null } | null;
  since?: Date | null;
  until?: Date | null;
  /** What this principal composed and nothing else. */
  composerId?: string | null;
  /** Leaves out inbound mail that no reviewer has let in yet. */
  withoutHeldInbound?: boolean;
  limit: number;
}

/** One more row than `limit` is read, so that `more` is known. */
export async function listMessages(
  db: Db,
  filter: MessageFilter,
): Promise<{ messages: MessageFacts[]; more: boolean }> {
  const forward = filter.sinceId != null;
  const behind = forward ? (filter.afterId ?? filter.sinceId) : filter.afterId;
  const { rows } = await db.query<MessageFacts>({
    text: `select ${MESSAGE_COLUMNS} from ${MESSAGE_TABLES}
     where ($1::text is null or m.mailbox_id = $1)
       and ($2::text[] is null or m.state = any($2))
       and ($3::text is null or m.direction = $3)
       and ($4::text is null or m.id ${forward ? '>' : '<'} $4)
       and ($5::text is null or position(lower($5) in lower(m.reverse_path)) > 0)
       and ($6::text is null or position(lower($6) in lower(m.subject)) > 0)
       and ($7::text is null or (m.tags ? $7 and ($8::text is null or m.tags ->> $7 = $8)))
       and ($9::timestamptz is null or m.created_at >= $9)
       and ($10::timestamptz is null or m.created_at < $10)
       and ($11::text is null or m.composer_id = $11)
       and not ($12 and m.state = 'held' and m.direction = 'inbound')
       ${forward ? `and m.created_at < now() - interval '1 second'` : ''}
       and ($14::text is null or m.kind = $14)
     order by m.id ${forward ? 'asc' : 'desc'}
     limit $13`,
    values: [
      filter.mailboxId ?? null,
      filter.states ?? null,
      filter.direction ?? null,
      behind ?? null,
      filter.sender ?? null,
      filter.subjectContains ?? null,
      filter.tag?.key ?? null,
      filter.tag?.value ?? null,
      filter.since ?? null,
      filter.until ?? null,
      filter.composerId ?? null,
      filter.withoutHeldInbound ?? false,
      filter.limit + 1,
      filter.kind ?? null,
    ],
  });
  return { messages: rows.slice(0, filter.limit), more: rows.length > filter.limit };
}
