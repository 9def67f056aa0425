/** A reviewer's changes to a message, composed anew before policy/editing.ts writes them. */
import { changedMembers, type Draft, type DraftChanges } from '../../core/compose/draft.ts';
import { messageDigest } from '../../core/mail/digest.ts';
import { unifiedDiff } from '../../core/mail/line-diff.ts';
import { isAsciiText } from '../../core/mail/text.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import { type Composition, readComposition } from '../../core/store/compositions.ts';
import type { MessageRecord } from '../../core/store/messages.ts';
import { readStoredContent } from '../../core/store/reviewing.ts';
import type { Written } from '../../core/store/revising.ts';
import { edit } from '../../policy/review.ts';
import type { Call } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { storedAnew } from '../sending/rescheduling.ts';
import { refuseRecipients } from '../sending/rules.ts';
import { recipientsShown } from '../views/oversight.ts';
import { statusOf } from '../views/statuses.ts';
import { again, problemOf } from './reviews.ts';

export interface Changes extends DraftChanges {
  /** Hex: what the reviewer saw. */
  digest: string;
  reason: string | null;
}

export interface EditedEmail {
  message: MessageRecord;
  previousDigest: string;
  changed: string[];
  diff: string;
}

/** Changes the message and tells how it stands then. Throws the Problem that stands in the way. */
export async function editMessage(
  message: MessageRecord,
  changes: Changes,
  call: Call,
): Promise<EditedEmail> {
  refuseUneditable(message, changes.digest);
  const { digest, reason, ...wanted } = changes;
  const { written, changed, diff } = await rewritten(message, wanted, call);
  if (changed.length === 0) return { message, previousDigest: message.digest, changed, diff: '' };
  const { key, actor } = call.caller;
  const principal = { id: key.principalId, name: key.principalName };
  const order = { messageId: message.id, digest, written, changed, reason, diff, principal, actor };
  try {
    await edit(call.runtime, order);
  } catch (err) {
    throw problemOf(err, message);
  }
  return { message: await again(message, call), previousDigest: digest, changed, diff };
}

/** What can be told before anything is composed; whoever is faster is found out when it is written. */
function refuseUneditable(
  { state, direction, kind, hold, digest, recipients }: MessageRecord,
  seen: string,
): void {
  if (state === 'expired' || (hold !== null && hold.expiresAt <= new Date()))
    throw new Problem(
      410,
      'expired',
      'Nobody decided in time, so this message has expired and will not be sent.',
    );
  if (direction !== 'outbound' || kind !== 'mail' || (state !== 'held' && state !== 'scheduled'))
    throw new Problem(409, 'not_editable', 'Only outgoing mail that is held or scheduled can be edited.', {
      current_status: statusOf({ state, direction, recipients }),
    });
  if (seen !== digest)
    throw new Problem(
      409,
      'content_changed',
      'The message is no longer the one you saw. Look at it again before you change it.',
      { content_digest: digest },
    );
}

interface Rewritten {
  written: Written;
  changed: string[];
  diff: string;
}

async function rewritten(message: MessageRecord, changes: DraftChanges, call: Call): Promise<Rewritten> {
  const composition = await readComposition(call.runtime.database.pool, message.id);
  return composition === undefined
    ? envelopeAnew(message, changes, call)
    : composedAnew(message, composition, changes, call);
}

async function composedAnew(
  message: MessageRecord,
  composition: Composition,
  changes: DraftChanges,
  call: Call,
): Promise<Rewritten> {
  const draft = composition.draft as Draft;
  const after = { ...draft, ...changes };
  const mailbox = await findMailbox(call.runtime.database.pool, message.mailboxId);
  if (mailbox === undefined) throw notFound('There is no such mailbox.');
  await refuseRecipients(after, call);
  const { composerId, agent } = message;
  const written = await storedAnew({ ...composition, mailbox, draft, changes }, { composerId, agent }, call);
  const names = { before: message.digest, after: written.digest };
  return {
    written,
    changed: changedMembers(draft, changes),
    diff: unifiedDiff(shown(draft), shown(after), names),
  };
}

function shown({ subject, markdown }: Pick<Draft, 'subject' | 'markdown'>): string {
  return `Subject: ${subject}\n\n${markdown}`;
}

/** Mail that came by SMTP is not written by us: only who gets it can be changed. */
async function envelopeAnew(message: MessageRecord, changes: DraftChanges, call: Call): Promise<Rewritten> {
  if (changes.subject !== undefined || changes.markdown !== undefined)
    throw new Problem(
      409,
      'not_editable',
      'This message was handed in by SMTP: only its recipients can be changed, not its subject or text.',
      { current_status: statusOf(message) },
    );
  const before = recipientsShown(message);
  const after = { to: before.to, cc: before.cc, bcc: before.bcc, ...changes };
  await refuseRecipients({ ...after, autoCc: null, autoBcc: null }, call);
  const forwardPaths = [...new Set([...after.to, ...after.cc, ...after.bcc])];
  if (forwardPaths.length === 0)
    throw new Problem(400, 'invalid_field', 'to: somebody has to get it.', { field: 'to' });
  const stored = await readStoredContent(call.runtime.database.pool, message.id);
  if (stored === undefined) throw notFound('The bytes of this message have been removed.');
  const { reversePath } = message;
  const written = {
    forwardPaths,
    digest: messageDigest({ reversePath, forwardPaths, contentSha256: stored.contentSha256 }),
    smtputf8:
      has8bitHeader(message.facts) || [reversePath, ...forwardPaths].some((path) => !isAsciiText(path)),
    content: null,
    draft: null,
  };
  const names = ['to', 'cc', 'bcc'] as const;
  const same = [...forwardPaths].sort().join('\n') === [...message.forwardPaths].sort().join('\n');
  const changed = same ? [] : names.filter((name) => after[name].join('\n') !== before[name].join('\n'));
  return { written, changed, diff: '' };
}

function has8bitHeader(facts: unknown): boolean {
  return (facts as { has8bitHeader?: boolean } | null)?.has8bitHeader === true;
}
