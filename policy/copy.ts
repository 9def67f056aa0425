import { system } from '../core/mail/actor.ts';
import { messageDigest } from '../core/mail/digest.ts';
import { newId } from '../core/mail/id.ts';
import type { Case } from '../core/store/judging.ts';
import type { NewMessage } from '../core/store/new-message.ts';

/**
 * The overseer's copy of a message that is monitored, or came to a mailbox that forwards: the same bytes in an envelope of its own, or undefined when
 * nobody oversees it. It goes to a mailbox of ours at once, elsewhere by the mailbox's own route. Its
 * reverse-path is null, so a copy that cannot be delivered is reported to nobody outside (RFC 5321 §4.5.5).
 */
export function overseersCopy(original: Case): NewMessage | undefined {
  const { oversightAddress, oversightMailboxId } = original;
  if (oversightAddress === null || original.kind !== 'mail') return undefined;
  const isLocal = oversightMailboxId !== null;
  return {
    id: newId(),
    kind: 'copy',
    direction: isLocal ? 'inbound' : 'outbound',
    source: 'postern',
    state: isLocal ? 'available' : 'queued',
    mailboxId: oversightMailboxId ?? original.mailboxId,
    composerId: null,
    aboutId: original.id,
    reversePath: '',
    forwardPaths: [oversightAddress],
    smtputf8: original.smtputf8,
    body8bit: original.body8bit,
    contentId: original.contentId,
    size: original.size,
    digest: messageDigest({
      reversePath: '',
      forwardPaths: [oversightAddress],
      contentSha256: original.contentSha256,
    }),
    internetMessageId: original.internetMessageId,
    subject: original.subject,
    facts: original.facts as object,
    tags: {},
    agent: null,
    requestedMode: null,
    effectiveMode: 'monitored',
    sendAt: null,
    gateTiming: null,
    actor: system('policy'),
  };
}
