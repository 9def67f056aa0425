import type { GivenAttachment } from '../../core/compose/attachment.ts';
import { isGated, type Mode, strictest } from '../../core/mail/mode.ts';
import type { SendingMailbox } from '../../core/store/senders.ts';

/** What to send. Texts and addresses are checked, nothing else is. */
export interface Order {
  operation: 'send_email' | 'reply_email';
  mailbox: SendingMailbox;
  to: string[];
  cc: string[];
  bcc: string[];
  subject: string;
  markdown: string;
  attachments: GivenAttachment[];
  replyTo: string | null;
  inReplyTo: string | null;
  references: string[];
  /** Of the message that began the thread; null for a new one. */
  threadId: string | null;
  ucan: string | null;
  sendAt: Date | undefined;
  gateTiming: 'gate_first' | 'schedule_first' | null;
  requestedMode: Mode | null;
  tags: Record<string, string>;
  agent: string | null;
  key: string | undefined;
  /** The message answered; null for a new one. Part of what makes two requests the same. */
  answers: string | null;
}

/** The tightest of what mailbox and request ask for (api 1.5). */
export function effective({ mailbox, requestedMode }: Pick<Order, 'mailbox' | 'requestedMode'>): Mode {
  return strictest(mailbox.oversightMode, requestedMode);
}

/** Whether an allowlist could let this pass: not where the request asked for a person itself (api 1.6). */
export function allowlistMayCount(order: Pick<Order, 'mailbox' | 'requestedMode'>): boolean {
  const asksForGate = order.requestedMode !== null && isGated(order.requestedMode);
  return order.mailbox.oversightMode === 'gated_send' && effective(order) === 'gated_send' && !asksForGate;
}
