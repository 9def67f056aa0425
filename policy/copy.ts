import { system } from '../core/mail/actor.ts';
import type { Case } from '../core/store/judging.ts';
import type { NewMessage } from '../core/store/new-message.ts';
import { ownMessage } from '../core/store/own-message.ts';

/**
 * The overseer's copy of a message that is monitored, or came to a mailbox that forwards: the same bytes in an envelope of its own, or undefined when
 * nobody oversees it. It goes to a mailbox of ours at once, elsewhere by the mailbox's own route. Its
 * reverse-path is null, so a copy that cannot be delivered is reported to nobody outside (RFC 5321 §4.5.5).
 */
export function overseersCopy(original: Case): NewMessage | undefined {
  const { oversightAddress, oversightMailboxId } = original;
  if (oversightAddress === null || original.kind !== 'mail') return undefined;
  const { contentId, contentSha256, size, smtputf8, body8bit, internetMessageId, subject } = original;
  return ownMessage({
    kind: 'copy',
    mailboxId: oversightMailboxId ?? original.mailboxId,
    aboutId: original.id,
    to: oversightAddress,
    isLocal: oversightMailboxId !== null,
    contentId,
    contentSha256,
    size,
    smtputf8,
    body8bit,
    internetMessageId,
    subject,
    facts: original.facts as object,
    effectiveMode: 'monitored',
    actor: system('policy'),
  });
}
