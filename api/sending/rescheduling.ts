/**
 * A scheduled message is changed. Another hour alone leaves content and approval as they are; other content is
 * composed and judged anew, and is refused where somebody has approved what stands there.
 */
import { compose, recompose, TooLarge } from '../../core/compose/compose.ts';
import { changedMembers, type Draft, type DraftChanges } from '../../core/compose/draft.ts';
import { type StoredForm, storedForm } from '../../core/compose/stored.ts';
import type { State } from '../../core/mail/lifecycle.ts';
import { type Composer, senderOf } from '../../core/runtime/sender.ts';
import type { MailboxFacts } from '../../core/store/accounts.ts';
import { readComposition } from '../../core/store/compositions.ts';
import { readLargeContent } from '../../core/store/contents.ts';
import { type Revision, revise } from '../../core/store/revising.ts';
import { readSender, readStanding } from '../../core/store/senders.ts';
import { due } from '../input/kinds-of-mail.ts';
import type { Call } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { statusOf } from '../views/statuses.ts';
import { refuseRecipients } from './rules.ts';

export interface Change {
  mailbox: MailboxFacts;
  id: string;
  sendAt: Date | undefined;
  changes: DraftChanges;
}

type Standing = NonNullable<Awaited<ReturnType<typeof readStanding>>>;

const TRIES = 3;

/** Changes it, and tells how it stands then. Throws the Problem that stands in the way. */
export async function reschedule(change: Change, call: Call) {
  // Somebody else may change it at the same time: then what they left is what is changed.
  for (let attempt = 1; ; attempt++) {
    const before = await standingOf(change, call);
    if (before.state !== 'scheduled') throw notEditable(before, 'Only scheduled mail can be changed.');
    const revision = await revisionOf(change, before, call);
    if (revision === undefined || (await revise(call.runtime.database, revision))) {
      if (revision !== undefined) call.runtime.bells.ring('policy', [change.id]);
      return told(await standingOf(change, call), change.id);
    }
    if (attempt === TRIES) throw notEditable(before, 'The message is being changed by others just now.');
  }
}

/** Undefined when everything is already as it is asked for. */
async function revisionOf(change: Change, before: Standing, call: Call): Promise<Revision | undefined> {
  const { mailbox, id, sendAt: asked } = change;
  const now = new Date();
  const sendAt = asked === undefined ? undefined : (due(asked, now) ?? now);
  const written = await writtenAnew(change, before, call);
  if (sendAt === undefined && written === undefined) return undefined;
  if (sendAt !== undefined && sendAt > now) {
    const { schedulingEnabled } = await readSender(call.runtime.database.pool, mailbox.id);
    if (!schedulingEnabled)
      throw new Problem(409, 'scheduling_disabled', 'This mailbox does not schedule mail.', {
        field: 'send_at',
      });
  }
  return {
    messageId: id,
    digest: before.digest,
    from: 'scheduled',
    to: written === undefined ? 'scheduled' : 'received',
    ...(sendAt !== undefined && { sendAt }),
    ...(written !== undefined && { written: written.row, unlessApproved: true }),
    audit: {
      action: written === undefined ? 'message.rescheduled' : 'message.edited',
      actor: call.caller.actor,
      metadata: {
        ...(written !== undefined && { changed: written.changed }),
        ...(sendAt !== undefined && { send_at: sendAt, send_at_before: before.sendAt }),
      },
    },
  };
}

async function writtenAnew({ mailbox, id, changes }: Change, before: Standing, call: Call) {
  const db = call.runtime.database.pool;
  if (Object.keys(changes).length === 0) return undefined;
  const composition = await readComposition(db, id);
  if (composition === undefined)
    throw notEditable(before, 'This message was not composed here: only its send_at can be changed.');
  const draft = composition.draft as Draft;
  const changed = changedMembers(draft, changes);
  if (changed.length === 0) return undefined;
  if (before.approved)
    throw notEditable(
      before,
      'A person has approved this message as it is: only its send_at can be changed.',
    );
  if (!mailbox.isActive || mailbox.oversightMode === 'read_only')
    throw new Problem(403, 'read_only', 'This mailbox may only read.');
  await refuseRecipients({ ...draft, ...changes }, call);
  const row = await storedAnew({ ...composition, mailbox, draft, changes }, before, call);
  return { row, changed };
}

export interface Rewriting {
  mailbox: MailboxFacts;
  draft: Draft;
  changes: DraftChanges;
  contentId: string;
  size: number;
}

/** A composed message written anew, as it is to be stored. Throws the 413 it may deserve. */
export async function storedAnew(
  { mailbox, draft, changes, contentId, size }: Rewriting,
  before: Composer,
  call: Call,
) {
  const { config, database } = call.runtime;
  const db = database.pool;
  const sender = await senderOf(call.runtime, mailbox, await readSender(db, mailbox.id), before);
  const limit = config.limits.message_bytes;
  const stored = draft.attachments.length === 0 ? undefined : await readLargeContent(db, contentId, size);
  try {
    const composed =
      stored === undefined
        ? await compose({ ...draft, ...changes }, [], sender, limit)
        : await recompose(draft, changes, stored, sender, limit);
    const form = storedForm(composed, { reversePath: mailbox.address, hostname: config.hostname });
    return { ...writtenOf(form), draft: composed.draft };
  } catch (err) {
    if (!(err instanceof TooLarge)) throw err;
    throw new Problem(413, 'too_large', `The composed message is larger than the ${limit} bytes allowed.`);
  }
}

function writtenOf({ content, forwardPaths, digest, smtputf8, size, body8bit, subject, facts }: StoredForm) {
  return { forwardPaths, digest, smtputf8, content: { ...content, size, body8bit, subject, facts } };
}

async function standingOf({ mailbox, id }: Change, { runtime }: Call): Promise<Standing> {
  const found = await readStanding(runtime.database.pool, id);
  if (found === undefined || found.mailboxId !== mailbox.id || found.direction !== 'outbound')
    throw notFound('There is no such message in this mailbox.');
  return found;
}

function notEditable(before: Standing, why: string): Problem {
  return new Problem(409, 'not_editable', why, { current_status: statusIn(before) });
}

function statusIn(one: Standing): string {
  return statusOf({ ...one, state: one.state as State });
}

function told(one: Standing, id: string) {
  return {
    id,
    email_id: id,
    message_id: id,
    status: statusIn(one),
    send_at: one.sendAt?.toISOString() ?? null,
    thread_id: one.threadId,
    content_digest: one.digest,
  };
}
