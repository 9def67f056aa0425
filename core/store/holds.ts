/** What waits for a reviewer. */
import type { State } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';
import { MESSAGE_COLUMNS, MESSAGE_TABLES, type MessageFacts } from './messages.ts';

export interface PendingMessage extends MessageFacts {
  reasons: string[] | null;
  heldAt: Date | null;
  expiresAt: Date | null;
}

export interface PendingFilter {
  mailboxId?: string | null;
  direction?: 'inbound' | 'outbound' | null;
  composerId?: string | null;
  tag?: { key: string; value: string | null } | null;
  /** `held` alone, or with what waits for no decision but has not been handed over. */
  states: State[];
  afterId?: string | null;
  limit: number;
}

/** Oldest first: who waits longest is answered first. */
export async function listPending(
  db: Db,
  filter: PendingFilter,
): Promise<{ messages: PendingMessage[]; more: boolean }> {
  const { rows } = await db.query<PendingMessage>({
    // wake_at is not null exactly for live mail, and its index is small however much mail was sent before
    text: `select ${MESSAGE_COLUMNS}, h.reasons, h.held_at as "heldAt", h.expires_at as "expiresAt"
      from ${MESSAGE_TABLES} left join holds h on h.message_id = m.id and h.closed_at is null
     where m.wake_at is not null and m.state = any($1::text[])
       and ($2::text is null or m.mailbox_id = $2)
       and ($3::text is null or m.direction = $3)
       and ($4::text is null or m.composer_id = $4)
       and ($5::text is null or (m.tags ? $5 and ($6::text is null or m.tags ->> $5 = $6)))
       and ($7::text is null or m.id > $7)
     order by m.id limit $8`,
    values: [
      filter.states,
      filter.mailboxId ?? null,
      filter.direction ?? null,
      filter.composerId ?? null,
      filter.tag?.key ?? null,
      filter.tag?.value ?? null,
      filter.afterId ?? null,
      filter.limit + 1,
    ],
  });
  return { messages: rows.slice(0, filter.limit), more: rows.length > filter.limit };
}
