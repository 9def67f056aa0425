/**
 * Mail that a program has asked for, new or in answer to other mail, on its way into the store:
 *
 *   asked before? ─▶ may it be sent? ─▶ compose ─▶ one commit: key, claim on the content, message ─▶ bell
 *        └ answered as then                                 └ a repetition: nothing is written, and it is named
 */
import { partsOf } from '../../core/compose/attachment.ts';
import { compose, TooLarge } from '../../core/compose/compose.ts';
import type { Draft } from '../../core/compose/draft.ts';
import { storedForm } from '../../core/compose/stored.ts';
import { domainOf } from '../../core/mail/address.ts';
import { newId } from '../../core/mail/id.ts';
import { senderOf } from '../../core/runtime/sender.ts';
import type { Sent } from '../../core/store/accept-composed.ts';
import { findRequest } from '../../core/store/idempotency.ts';
import type { NewMessage } from '../../core/store/new-message.ts';
import type { SenderFacts } from '../../core/store/senders.ts';
import { due } from '../input/kinds-of-mail.ts';
import type { Call } from '../operation.ts';
import { Problem } from '../problem.ts';
import { contentFingerprint, requestFingerprint } from './fingerprints.ts';
import { allowlistMayCount, effective, type Order } from './order.ts';
import { alreadySent, fresh, type SentReply } from './replies.ts';
import { refuseRecipients } from './rules.ts';

/** Sends, or answers for what was sent before. Throws the Problem that stands in the way. */
export async function submit(order: Order, call: Call): Promise<SentReply> {
  const { mailbox, key } = order;
  const db = call.runtime.database.pool;
  const requestSha256 = await requestFingerprint(order);
  const request = key === undefined ? null : { operation: order.operation, key, requestSha256 };
  if (request !== null) {
    const earlier = await findRequest(db, { mailboxId: mailbox.id, ...request });
    if (earlier !== undefined) return answerFor({ as: 'repeated', ...earlier }, call);
  }
  refuseClosed(order);
  refuseDisabled(mailbox);
  const now = new Date();
  const sendAt = due(order.sendAt, now);
  if (sendAt !== null && !mailbox.schedulingEnabled)
    throw new Problem(409, 'scheduling_disabled', 'This mailbox does not schedule mail.', {
      field: 'send_at',
    });

  const draft = draftOf(order, now);
  await refuseRecipients(draft, call);
  const composed = await composedBy(order, draft, call);
  const stored = storedForm(composed, {
    reversePath: mailbox.address,
    hostname: call.runtime.config.hostname,
  });
  const message: NewMessage = { ...rowOf(order, call), ...stored, contentId: stored.content.id, sendAt };
  message.id = idOf(draft);
  const { duplicate_window: windowSeconds } = call.runtime.config.api;
  const outcome = await call.door.send({
    content: stored.content,
    message,
    draft: composed.draft,
    key: request,
    fingerprint: windowSeconds === 0 ? null : await contentFingerprint(order, message.forwardPaths),
    windowSeconds,
    floor: floorOf(order),
  });
  if (outcome.as !== 'accepted') return answerFor(outcome, call);
  return fresh(order, message, mailbox, call);
}

function refuseClosed({ mailbox, requestedMode }: Order): void {
  if (!mailbox.isActive) throw new Problem(403, 'account_disabled', 'This mailbox is closed.');
  if (mailbox.oversightMode === 'read_only' || requestedMode === 'read_only')
    throw new Problem(
      403,
      'read_only',
      'This mailbox may only read. A person can loosen it: ask with POST /v1/mailboxes/{mailbox_id}/request-upgrade.',
    );
}

function refuseDisabled({ sendingDisabled, sendingDisabledReason }: SenderFacts): void {
  if (!sendingDisabled) return;
  const why = sendingDisabledReason === null ? '.' : `: ${sendingDisabledReason}`;
  throw new Problem(403, 'account_disabled', `Sending is switched off for this account${why}`);
}

/** The id of a composed message stands in its Message-ID, so that a reply names it without being looked up. */
function draftOf(order: Order, now: Date): Draft {
  const { mailbox, to, cc, bcc, subject, markdown, replyTo, inReplyTo, references, ucan } = order;
  return {
    to,
    cc,
    bcc,
    autoCc: mailbox.autoCc,
    autoBcc: mailbox.autoBcc,
    subject,
    markdown,
    replyTo,
    inReplyTo,
    references,
    ucan: mailbox.did === null ? null : ucan,
    messageId: `<${newId().toLowerCase()}@${domainOf(mailbox.address)}>`,
    date: now.toISOString(),
    oversight: { mode: effective(order), allowlistCounts: allowlistMayCount(order) },
    attachments: [],
  };
}

function idOf({ messageId }: Draft): string {
  return messageId.slice(1, messageId.indexOf('@')).toUpperCase();
}

async function composedBy(order: Order, draft: Draft, call: Call) {
  const limit = call.runtime.config.limits.message_bytes;
  try {
    const composer = { composerId: call.caller.key.principalId, agent: agentOf(order, call) };
    const sender = await senderOf(call.runtime, order.mailbox, order.mailbox, composer);
    return await compose(draft, partsOf(order.attachments), sender, limit);
  } catch (err) {
    if (!(err instanceof TooLarge)) throw err;
    throw new Problem(413, 'too_large', `The composed message is larger than the ${limit} bytes allowed.`);
  }
}

type FromBytes =
  | 'contentId'
  | 'forwardPaths'
  | 'smtputf8'
  | 'body8bit'
  | 'size'
  | 'digest'
  | 'internetMessageId'
  | 'subject'
  | 'facts'
  | 'sendAt';

function rowOf(order: Order, call: Call): Omit<NewMessage, FromBytes> {
  const { caller } = call;
  return {
    id: '',
    kind: 'mail',
    direction: 'outbound',
    source: 'rest',
    state: 'received',
    mailboxId: order.mailbox.id,
    composerId: caller.key.principalId,
    aboutId: null,
    reversePath: order.mailbox.address,
    tags: order.tags,
    agent: agentOf(order, call),
    requestedMode: order.requestedMode,
    effectiveMode: null,
    gateTiming: order.gateTiming,
    threadId: order.threadId,
    actor: caller.actor,
  };
}

/** Who composed: in the caller's words, else the agent that the key belongs to. */
function agentOf({ agent }: Order, { caller }: Call): string | null {
  return agent ?? (caller.key.principalKind === 'agent' ? caller.key.principalName : null);
}

function floorOf(order: Order) {
  const { requestedMode } = order;
  const mode = effective(order);
  return requestedMode === null || requestedMode === mode
    ? null
    : { requested: requestedMode, effective: mode };
}

/** The answer when nothing was written. */
async function answerFor(outcome: Exclude<Sent, { as: 'accepted' }>, call: Call): Promise<SentReply> {
  switch (outcome.as) {
    case 'repeated':
      if (outcome.same) return alreadySent(outcome.messageId, call);
      throw new Problem(409, 'idempotency_mismatch', 'This idempotency key was used for another message.', {
        existing_id: outcome.messageId,
      });
    case 'duplicate':
      throw new Problem(
        409,
        'duplicate',
        'The same message was sent a moment ago. If it is meant to go twice, name the second by an idempotency_key.',
        { existing_id: outcome.messageId },
      );
    case 'in_flight':
      throw new Problem(
        409,
        'idempotency_in_flight',
        'The same request is just being carried out; ask again in a second.',
        {},
        { 'retry-after': '1' },
      );
  }
}
