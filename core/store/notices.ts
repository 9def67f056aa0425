import type { Actor } from '../mail/actor.ts';
import { contentSha256 } from '../mail/digest.ts';
import { newId } from '../mail/id.ts';
import { composeNotice } from '../mail/notice.ts';
import { oneLine } from '../mail/text.ts';
import { acceptWithin } from './accept.ts';
import type { Db } from './database.ts';
import { formOf, ownMessage } from './own-message.ts';

export interface NewNotice {
  /** Ours, as the configuration says. */
  hostname: string;
  /** Canonical. */
  to: string;
  subject: string;
  /** Plain text; what strangers wrote in it went through `oneLine`. */
  text: string;
  /** The message it speaks of. */
  aboutId?: string | null;
  actor: Actor;
}

/** Stores a notice, to be sent at once, and returns its id: ring `delivery` with it once `db` is committed. */
export async function sendNotice(db: Db, notice: NewNotice): Promise<string> {
  const sender = await ensureSystemMailbox(db, notice.hostname);
  const id = newId();
  const bytes = composeNotice({
    from: sender.address,
    to: notice.to,
    subject: oneLine(notice.subject, 500),
    text: notice.text,
    date: new Date(),
    messageId: `<${id.toLowerCase()}@${notice.hostname}>`,
  });
  const content = { id: newId(), sha256: contentSha256(bytes), bytes };
  const message = ownMessage({
    ...formOf(content, notice.to, notice.hostname),
    id,
    kind: 'notice',
    mailboxId: sender.id,
    aboutId: notice.aboutId ?? null,
    to: notice.to,
    isLocal: false,
    actor: notice.actor,
  });
  await acceptWithin(db, { content, messages: [message] });
  return id;
}

const LOCAL_PARTS = ['postern', 'postern-notices'];

/**
 * The mailbox our own mail belongs to, made when there is none. An operator may have a mailbox `postern@` already;
 * ours is then called otherwise.
 */
async function ensureSystemMailbox(db: Db, hostname: string): Promise<{ id: string; address: string }> {
  const addresses = LOCAL_PARTS.map((local) => `${local}@${hostname.toLowerCase()}`);
  const known = await systemMailbox(db);
  if (known !== undefined && addresses.includes(known.address)) return known;
  for (const address of addresses) {
    await db.query({
      text:
        known === undefined
          ? `insert into mailboxes (id, address, address_key, display_name, oversight_mode, is_system)
             values ($1, $2, $2, 'Postern', 'autonomous', true) on conflict do nothing`
          : // our name has changed since
            `update mailboxes set address = $2, address_key = $2
              where id = $1 and not exists (select 1 from mailboxes where address_key = $2)`,
      values: [known?.id ?? newId(), address],
    });
    const now = await systemMailbox(db);
    if (now !== undefined && addresses.includes(now.address)) return now;
  }
  throw new Error(`neither ${addresses.join(' nor ')} is free for Postern's own mail`);
}

async function systemMailbox(db: Db): Promise<{ id: string; address: string } | undefined> {
  const { rows } = await db.query<{ id: string; address: string }>({
    name: 'system-mailbox',
    text: 'select id, address from mailboxes where is_system',
  });
  return rows[0];
}
