/** Messages as callers see them. Text of mail stands nowhere in here. */
import { z } from 'zod';
import type { Facts } from '../../core/mail/facts.ts';
import type { MessageFacts, MessageRecord } from '../../core/store/messages.ts';
import { statusOf } from './statuses.ts';

const time = z.string().nullable();

export const EmailSummary = z.object({
  id: z.string(),
  email_id: z.string(),
  message_id: z.string(),
  direction: z.enum(['inbound', 'outbound']),
  kind: z.string(),
  source: z.string(),
  status: z.string(),
  state: z.string().describe('The word of the lifecycle, as the command line and the audit log use it'),
  from: z.string(),
  from_address: z.string(),
  from_name: z.string().nullable(),
  to: z.array(z.string()),
  to_addresses: z.array(z.string()),
  subject: z.string(),
  mailbox_id: z.string(),
  mailbox: z.string(),
  thread_id: z.string().nullable(),
  received_at: z.string(),
  created_at: z.string(),
  has_attachments: z.boolean(),
  spam_score: z.number().int().nullable(),
  spam_verdict: z.enum(['clean', 'flagged', 'quarantined']).nullable(),
  send_at: time,
  delivered_at: time,
  bounced_at: time,
  bounce_type: z.enum(['hard', 'soft']).nullable(),
  tags: z.record(z.string(), z.string()),
  agent: z.string().nullable(),
  size: z.number(),
});

const Attachment = z.object({ name: z.string(), size: z.number().int(), content_type: z.string() });

/** Everything about one message but its text. */
export const EmailDetail = EmailSummary.extend({
  cc: z.array(z.string()),
  attachments: z.array(Attachment),
  user_label: z.enum(['spam', 'not_spam']).nullable(),
  sender_identity: z
    .object({ valid: z.boolean().nullable(), payload: z.record(z.string(), z.unknown()) })
    .nullable()
    .describe('Of inbound mail that bears an identity'),
  internet_message_id: z.string().nullable(),
  oversight_mode: z.string().nullable(),
  requested_oversight_mode: z.string().nullable(),
  approval_required: z.boolean(),
  released_by: z.string().nullable(),
  approved_at: time,
  approved_by: z.string().nullable(),
  status_reason: z.string().nullable(),
  rejection_reason: z.string().nullable(),
  reasons: z.array(z.string()),
  gate_timing: z.string(),
  expires_at: time,
  next_attempt_at: time,
  attempts: z.number(),
  content_digest: z.string(),
  about_id: z.string().nullable(),
  recipients: z.array(
    z.object({
      address: z.string(),
      status: z.string(),
      reply: z.string().nullable(),
      next_hop: z.string().nullable(),
    }),
  ),
});

/** One message in full, the text included; `text_body` only where the configuration asks for it. */
export const EmailResponse = EmailDetail.extend({
  markdown: z.string(),
  body: z.string(),
  text_body: z.string().optional(),
});

export function summaryOf(m: MessageFacts): z.input<typeof EmailSummary> {
  const header = headerOf(m.facts);
  const from = header.from[0];
  const sender = from?.address ?? m.reversePath;
  const to = addressees(m, header);
  return {
    id: m.id,
    email_id: m.id,
    message_id: m.id,
    direction: m.direction,
    kind: m.kind,
    source: m.source,
    status: statusOf(m),
    state: m.state,
    from: sender,
    from_address: sender,
    from_name: from?.name || null,
    to,
    to_addresses: to,
    subject: m.subject,
    mailbox_id: m.mailboxId,
    mailbox: m.mailbox,
    thread_id: m.threadId ?? m.id,
    received_at: m.createdAt.toISOString(),
    created_at: m.createdAt.toISOString(),
    has_attachments: attachmentsOf(m.facts).length > 0,
    spam_score: m.spamScore,
    spam_verdict: m.spamVerdict,
    send_at: iso(m.sendAt),
    ...deliveryOf(m),
    tags: m.tags,
    agent: m.agent,
    size: m.size,
  };
}

export function emailOf(m: MessageRecord): z.input<typeof EmailDetail> {
  // An approval of what stood there before an edit is void.
  const approval = m.decisions.findLast((one) => one.decision === 'approve' && one.digest === m.digest);
  const rejection = m.decisions.find(({ decision }) => decision === 'reject');
  return {
    ...summaryOf(m),
    cc: headerOf(m.facts).cc.map(({ address }) => address),
    attachments: attachmentsOf(m.facts),
    user_label: m.userLabel,
    sender_identity: m.direction === 'inbound' ? identityOf(m.facts) : null,
    internet_message_id: m.internetMessageId,
    oversight_mode: m.effectiveMode,
    requested_oversight_mode: m.requestedMode,
    approval_required: statusOf(m).startsWith('pending_') ? m.state === 'held' : m.releasedBy === 'approval',
    released_by: m.releasedBy,
    approved_at: approval === undefined ? null : new Date(approval.at).toISOString(),
    approved_by: approval?.by ?? (m.releasedBy === 'allowlist' ? 'allowlist' : null),
    status_reason: m.statusReason,
    rejection_reason: rejection?.reason ?? null,
    reasons: m.hold?.reasons ?? [],
    gate_timing: m.gateTiming,
    expires_at: iso(m.hold?.expiresAt),
    next_attempt_at: iso(m.nextAttemptAt),
    attempts: m.attempts,
    content_digest: m.digest,
    about_id: m.aboutId,
    recipients: m.recipients.map((r) => ({
      address: r.address,
      status: r.status,
      reply: replyText(r),
      next_hop: r.nextHop,
    })),
  };
}

/**
 * Whom a message is to: of its To field those who get it, for a header may name people to whom nothing goes. Who got
 * a blind copy is never told, unless the header names nobody at all who gets it: then there is nobody else to tell.
 */
function addressees({ direction, forwardPaths }: MessageFacts, { to, cc }: Header): string[] {
  const named = to.map(({ address }) => address);
  if (direction === 'inbound') return named.length > 0 ? named : forwardPaths;
  const among = (list: { address: string }[]) => {
    const known = new Set(list.map(({ address }) => address.toLowerCase()));
    return forwardPaths.filter((path) => known.has(path.toLowerCase()));
  };
  const reached = among(to);
  if (reached.length > 0) return reached;
  return among(cc).length > 0 ? named : forwardPaths;
}

/** `550 5.1.1 No such user`; null while the next hop has said nothing. */
export function replyText(r: {
  code: number | null;
  enhanced: string | null;
  text: string | null;
}): string | null {
  const parts = [r.code === 0 ? null : r.code, r.enhanced, r.text].filter(
    (part) => part !== null && part !== '',
  );
  return parts.length > 0 ? parts.join(' ') : null;
}

function deliveryOf({ state, recipients, changedAt }: MessageFacts) {
  const failed = recipients.filter(({ status }) => status === 'failed');
  const settled = recipients.flatMap(({ settledAt }) => (settledAt === null ? [] : [new Date(settledAt)]));
  const last = settled.length > 0 ? new Date(Math.max(...settled.map(Number))) : changedAt;
  return {
    delivered_at: state === 'relayed' ? last.toISOString() : null,
    bounced_at: state === 'failed' ? last.toISOString() : null,
    bounce_type:
      state !== 'failed'
        ? null
        : failed.some(({ code }) => code !== null && code >= 500)
          ? ('hard' as const)
          : ('soft' as const),
  };
}

interface Header {
  from: { address: string; name: string }[];
  to: { address: string; name: string }[];
  cc: { address: string; name: string }[];
}

/** Facts were written by another version perhaps: what is not there is empty. */
function headerOf(facts: unknown): Header {
  const { from = [], to = [], cc = [] } = (facts ?? {}) as Partial<Header>;
  return { from, to, cc };
}

function attachmentsOf(facts: unknown): z.input<typeof Attachment>[] {
  const { attachments = [] } = (facts ?? {}) as Partial<Pick<Facts, 'attachments'>>;
  return attachments.map(({ name, size, type }) => ({ name, size, content_type: type }));
}

function identityOf(facts: unknown): z.input<typeof EmailDetail>['sender_identity'] {
  const { senderIdentity = null } = (facts ?? {}) as {
    senderIdentity?: z.input<typeof EmailDetail>['sender_identity'];
  };
  return senderIdentity;
}

export function iso(date: Date | null | undefined): string | null {
  return date == null ? null : date.toISOString();
}
