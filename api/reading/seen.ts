/** Which messages a caller may see, and how far. */
import type { State } from '../../core/mail/lifecycle.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import { type MessageFacts, type MessageRecord, readMessage } from '../../core/store/messages.ts';
import { idOf } from '../input/kinds.ts';
import type { Call } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';

/** The message a call names, if the caller may see it. */
export async function seen(id: string, { runtime, caller }: Call): Promise<MessageRecord> {
  const found = await readMessage(runtime.database.pool, idOf(id, 'message'), caller.onlyMailbox);
  if (found === undefined) throw notFound('There is no such message.');
  return found;
}

/** The message with this id in the mailbox that a path names by id or address. One of another mailbox is none. */
export async function seenIn(mailbox: string, id: string, call: Call): Promise<MessageRecord> {
  const message = await seen(id, call);
  if (message.mailboxId !== mailbox && message.mailboxId !== (await mailboxFilter(mailbox, call)))
    throw notFound('There is no such message.');
  return message;
}

/** The id of the mailbox a filter names, kept within what the caller may see. */
export async function mailboxFilter(
  named: string | undefined,
  { runtime, caller }: Call,
): Promise<string | null> {
  if (named === undefined) return caller.onlyMailbox;
  const found = await findMailbox(runtime.database.pool, named);
  if (found === undefined || (caller.onlyMailbox !== null && caller.onlyMailbox !== found.id))
    throw notFound('There is no such mailbox.');
  return found.id;
}

export function oversees({ caller }: Call): boolean {
  return caller.key.scopes.some((scope) => scope === 'oversight' || scope === 'admin');
}

/** Inbound mail that nobody has let in: not yet, or never. */
const SHUT: readonly State[] = ['received', 'held', 'rejected', 'expired', 'cancelled'];

/** In `gated_all` an agent learns of inbound mail when a person has let it in; elsewhere it may look at spam. */
export function isUnopened(
  message: Pick<MessageFacts, 'state' | 'direction' | 'spamVerdict' | 'mailboxMode'>,
  call: Call,
): boolean {
  if (message.direction !== 'inbound' || !SHUT.includes(message.state) || oversees(call)) return false;
  if (message.state === 'received') return message.mailboxMode === 'gated_all';
  return message.spamVerdict !== 'quarantined' || message.mailboxMode === 'gated_all';
}

export function refuseHeldInbound(message: MessageRecord, call: Call): void {
  if (!isUnopened(message, call)) return;
  const waits = message.state === 'held' || message.state === 'received';
  throw new Problem(
    403,
    'held_for_approval',
    waits
      ? 'This message waits for a reviewer and cannot be read yet.'
      : 'This message was not let in and cannot be read.',
  );
}
