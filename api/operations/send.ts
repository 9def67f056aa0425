/** Mail sent by a program: through the same gate as mail submitted by SMTP. */
import { z } from 'zod';
import type { Mode } from '../../core/mail/mode.ts';
import { modeName } from '../input/kinds.ts';
import {
  addresses,
  attachments,
  headerText,
  idempotencyKey,
  messageText,
  oneAddress,
  sendAt,
  tags,
} from '../input/kinds-of-mail.ts';
import { type Call, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import type { Order } from '../sending/order.ts';
import { AlreadySentBody, SentBody } from '../sending/replies.ts';
import { submit } from '../sending/submit.ts';
import { namedMailbox } from './mailboxes.ts';

/** Members that sending and replying have in common. */
export const SENDING = {
  mailbox_id: z.string().min(1).max(320).describe('Id or address of the mailbox'),
  markdown: messageText.describe('The text; raw HTML in it is shown as text'),
  cc: addresses.optional(),
  bcc: addresses.optional(),
  attachments: attachments.optional(),
  idempotency_key: idempotencyKey
    .optional()
    .describe('Names this request, so that repeating it sends nothing twice'),
  send_at: sendAt.optional(),
  gate_timing: z
    .enum(['gate_first', 'schedule_first'])
    .optional()
    .describe('Whether a scheduled message is approved first, or when its time has come'),
  oversight_mode: modeName.optional().describe('Only ever tightens'),
  tags: tags.optional(),
  agent: headerText(200).optional().describe('Who composed it, in your words'),
  ucan: z
    .string()
    .max(11_008)
    .regex(/^[A-Za-z0-9_.-]*$/, 'must be base64url')
    .optional()
    .describe('Relayed as given where a DID is bound to the mailbox'),
};

const common = z.object(SENDING);

/** What both ask for alike. */
export function commonOrder(
  input: z.output<typeof common>,
  call: Call,
): Omit<
  Order,
  'operation' | 'mailbox' | 'to' | 'subject' | 'replyTo' | 'inReplyTo' | 'references' | 'threadId' | 'answers'
> {
  return {
    cc: input.cc ?? [],
    bcc: input.bcc ?? [],
    markdown: input.markdown,
    attachments: input.attachments ?? [],
    ucan: input.ucan ?? null,
    sendAt: input.send_at,
    gateTiming: input.gate_timing ?? null,
    requestedMode: (input.oversight_mode ?? null) as Mode | null,
    tags: input.tags ?? {},
    agent: input.agent ?? null,
    key: keyOf(input.idempotency_key, call),
  };
}

function keyOf(inBody: string | undefined, { idempotencyKey: inHeader }: Call): string | undefined {
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader)
    throw new Problem(400, 'conflicting_fields', 'idempotency_key and Idempotency-Key differ.', {
      field: 'idempotency_key',
    });
  return inBody ?? inHeader;
}

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
  input: z.object({
    ...SENDING,
    to: addresses.refine((list) => list.length > 0, { error: 'at least one address is needed' }),
    subject: headerText(998),
    reply_to: oneAddress.optional(),
    from: oneAddress.optional().describe("If given, the mailbox's address"),
  }),
  output: SentBody,
  also: { 200: AlreadySentBody },
  tool: {
    description:
      'Sends an e-mail from a mailbox. Depending on its oversight mode a person approves it first: then pending_approval is true, and its status tells how it fares. Name the request by idempotency_key, so that repeating it after a lost answer sends nothing twice.',
    takes: [
      'to',
      'subject',
      'markdown',
      'cc',
      'bcc',
      'attachments',
      'idempotency_key',
      'send_at',
      'gate_timing',
      'oversight_mode',
      'tags',
      'agent',
      'ucan',
    ],
    hints: [],
  },
  async handle(input, call) {
    const mailbox = await namedMailbox(input.mailbox_id, call);
    if (input.from !== undefined && input.from.toLowerCase() !== mailbox.address.toLowerCase())
      throw new Problem(422, 'unknown_sender', 'from: mail of this mailbox is from its own address.', {
        field: 'from',
        addresses: [input.from],
      });
    return submit(
      {
        ...commonOrder(input, call),
        operation: 'send_email',
        mailbox,
        to: input.to,
        subject: input.subject,
        replyTo: input.reply_to ?? null,
        inReplyTo: null,
        references: [],
        threadId: null,
        answers: null,
      },
      call,
    );
  },
});

export const sendOperations = [sendEmail];
