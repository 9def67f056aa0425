/** Mail sent by a program over REST: through the same gate as mail submitted by SMTP. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { contentSha256, messageDigest } from '../../core/mail/digest.ts';
import { readFacts } from '../../core/mail/facts.ts';
import { newId } from '../../core/mail/id.ts';
import { isGated, isMode, type Mode, strictest } from '../../core/mail/mode.ts';
import { matchesPattern } from '../../core/mail/pattern.ts';
import type { MailboxFacts } from '../../core/store/accounts.ts';
import { listAllowlist } from '../../core/store/allowlists.ts';
import { readMessage } from '../../core/store/messages.ts';
import type { NewMessage } from '../../core/store/new-message.ts';
import { compose } from '../compose.ts';
import { modeName } from '../kinds.ts';
import { addresses, headerText, messageText, oneAddress, sendAt, tags } from '../kinds-of-mail.ts';
import { Answer, type Call, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { statusOf } from '../statuses.ts';
import { namedMailbox } from './mailboxes.ts';

const input = z.object({
  mailbox_id: z.string().min(1).max(320).describe('Id or address of the mailbox'),
  to: addresses.refine((list) => list.length > 0, { error: 'at least one address is needed' }),
  cc: addresses.optional(),
  bcc: addresses.optional(),
  subject: headerText(998),
  markdown: messageText.optional(),
  text: messageText.optional().describe('The same as markdown'),
  body: messageText.optional().describe('The same as markdown'),
  reply_to: oneAddress.optional(),
  from: oneAddress.optional().describe("If given, the mailbox's address"),
  oversight_mode: modeName.optional().describe('Only ever tightens'),
  send_at: sendAt.optional(),
  gate_timing: z.enum(['gate_first', 'schedule_first']).optional(),
  tags: tags.optional(),
  agent: headerText(200).optional(),
  idempotency_key: z
    .string()
    .regex(/^[ -~]{1,200}$/, 'must be 1 to 200 printable characters')
    .optional(),
});
type Input = z.output<typeof input>;

const Sent = z.object({
  id: z.string(),
  email_id: z.string(),
  message_id: z.string(),
  status: z.string(),
  thread_id: z.string(),
  message: z.string().optional(),
  pending_approval: z.boolean(),
  oversight_mode: z.string(),
  requested_oversight_mode: z.string().nullable(),
  send_at: z.string().nullable(),
  idempotent: z.boolean(),
  current_status: z.string().optional(),
});

export const sendEmail = operation({
  name: 'send_email',
  summary: 'Send mail; 202 means it is committed, not that it has left',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/mailboxes/:mailbox_id/send',
  status: 202,
  strict: true,
  large: true,
  repeats: 'own',
  input,
  output: Sent,
  async handle(sent, call) {
    const mailbox = await namedMailbox(sent.mailbox_id, call);
    const requested = (sent.oversight_mode ?? null) as Mode | null;
    refuseClosed(mailbox, requested);
    if (sent.from !== undefined && sent.from.toLowerCase() !== mailbox.address.toLowerCase())
      throw new Problem(422, 'unknown_sender', 'from: mail of this mailbox is from its own address.', {
        field: 'from',
      });
    const arrival = await arrivalOf(sent, mailbox, requested, call);
    const message = arrival.messages[0]!;

    const key = keyOf(sent, call);
    if (key === undefined) await call.door.accept(arrival);
    else {
      const request = { mailboxId: mailbox.id, key, requestSha256: fingerprint(sent), messageId: message.id };
      const earlier = await call.door.acceptOnce(arrival, request);
      if (earlier !== undefined) return repeated(earlier, call);
    }
    const mode = strictest(mailbox.oversightMode, requested);
    return {
      ...ids(message.id),
      status: 'pending_scan',
      message: 'Accepted. It is judged now; its status tells how it fares.',
      pending_approval: await needsApproval(mailbox, mode, requested, message, call),
      oversight_mode: mode,
      requested_oversight_mode: requested,
      send_at: message.sendAt?.toISOString() ?? null,
      idempotent: false,
    };
  },
});

function ids(id: string) {
  return { id, email_id: id, message_id: id, thread_id: id };
}

function refuseClosed(mailbox: MailboxFacts, requested: Mode | null): void {
  if (!mailbox.isActive) throw new Problem(403, 'account_disabled', 'This mailbox is closed.');
  if (mailbox.oversightMode === 'read_only' || requested === 'read_only')
    throw new Problem(
      403,
      'read_only',
      'This mailbox may only read. Whoever operates this gateway can change its mode.',
    );
}

async function arrivalOf(sent: Input, mailbox: MailboxFacts, requested: Mode | null, call: Call) {
  const { config } = call.runtime;
  const { caller } = call;
  const now = new Date();
  const id = newId();
  const forwardPaths = [...new Set([...sent.to, ...(sent.cc ?? []), ...(sent.bcc ?? [])])];
  if (forwardPaths.length > config.limits.recipients)
    throw new Problem(400, 'invalid_field', `to: at most ${config.limits.recipients} recipients.`, {
      field: 'to',
    });
  const bytes = await compose({
    from: { address: mailbox.address, name: mailbox.displayName },
    to: sent.to,
    cc: sent.cc ?? [],
    replyTo: sent.reply_to ?? null,
    subject: sent.subject,
    text: textOf(sent),
    messageId: `<${id.toLowerCase()}@${config.hostname}>`,
    date: now,
  });
  if (bytes.length > config.limits.message_bytes)
    throw new Problem(413, 'too_large', 'The composed message is larger than limits.message_bytes.');
  const facts = readFacts(bytes, { hostname: config.hostname });
  const content = { id: newId(), sha256: contentSha256(bytes), bytes };
  const scheduled = sent.send_at !== undefined && sent.send_at > now ? sent.send_at : null;
  const message: NewMessage = {
    id,
    kind: 'mail',
    direction: 'outbound',
    source: 'rest',
    state: 'received',
    mailboxId: mailbox.id,
    composerId: caller.key.principalId,
    aboutId: null,
    reversePath: mailbox.address,
    forwardPaths,
    smtputf8: facts.has8bitHeader || forwardPaths.some((path) => /[^\x00-\x7f]/.test(path)),
    body8bit: facts.has8bitBody,
    contentId: content.id,
    size: bytes.length,
    digest: messageDigest({ reversePath: mailbox.address, forwardPaths, contentSha256: content.sha256 }),
    internetMessageId: facts.messageId,
    subject: facts.subject,
    facts,
    tags: sent.tags ?? {},
    agent: sent.agent ?? (caller.key.principalKind === 'agent' ? caller.key.principalName : null),
    requestedMode: requested,
    effectiveMode: null,
    sendAt: scheduled,
    gateTiming: sent.gate_timing ?? null,
    actor: caller.actor,
  };
  return { content, messages: [message] };
}

function textOf({ markdown, text, body }: Input): string {
  const given = [markdown, text, body].filter((one) => one !== undefined);
  if (given.length === 0)
    throw new Problem(400, 'missing_field', 'markdown: is missing', { field: 'markdown' });
  if (new Set(given).size > 1)
    throw new Problem(400, 'conflicting_fields', 'markdown, text and body say different things.', {
      field: 'markdown',
    });
  return given[0]!;
}

function keyOf({ idempotency_key: inBody }: Input, { idempotencyKey: inHeader }: Call): string | undefined {
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader)
    throw new Problem(400, 'conflicting_fields', 'idempotency_key and Idempotency-Key differ.', {
      field: 'idempotency_key',
    });
  return inBody ?? inHeader;
}

function fingerprint({ idempotency_key: _, mailbox_id: __, ...sent }: Input): Buffer {
  return createHash('sha256').update(JSON.stringify(sent)).digest();
}

/** The answer to a repeat: the message that the key stands for, as it is now. */
async function repeated({ messageId, same }: { messageId: string; same: boolean }, { runtime }: Call) {
  if (!same)
    throw new Problem(409, 'idempotency_mismatch', 'This idempotency key was used for another message.', {
      existing_id: messageId,
    });
  const message = await readMessage(runtime.database.pool, messageId, null);
  const mode =
    message === undefined
      ? null
      : (message.effectiveMode ?? strictest(message.mailboxMode, message.requestedMode));
  return new Answer(200, {
    ...ids(messageId),
    status: 'already_sent',
    current_status: message === undefined ? 'deleted' : statusOf(message),
    pending_approval: message?.state === 'held',
    oversight_mode: mode ?? 'gated_all',
    requested_oversight_mode: message?.requestedMode ?? null,
    send_at: message?.sendAt?.toISOString() ?? null,
    idempotent: true,
  });
}

/** What mode and allowlist say at this moment; a rule may still hold what is answered false. */
async function needsApproval(
  mailbox: MailboxFacts,
  mode: Mode,
  requested: Mode | null,
  { forwardPaths }: NewMessage,
  { runtime }: Call,
): Promise<boolean> {
  if (!isGated(mode)) return false;
  const asksForGate = requested !== null && isMode(requested) && isGated(requested);
  if (mailbox.oversightMode !== 'gated_send' || mode !== 'gated_send' || asksForGate) return true;
  const entries = await listAllowlist(runtime.database.pool, mailbox.id);
  return !forwardPaths.every((path) => entries.some(({ pattern }) => matchesPattern(path, pattern)));
}

export const sendOperations = [sendEmail];
