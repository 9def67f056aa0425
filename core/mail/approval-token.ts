/**
 * What stands in the links to the approval page: which message, signed with a secret of ours together with the
 * digest of its content. So a link cannot be made up, and one for what the message was before an edit fits no more.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface ApprovalToken {
  messageId: string;
  mark: Buffer;
}

const MARK_BYTES = 24;

/** Safe in a path. `digest` is the message's, in hex. */
export function approvalToken(secret: Buffer, messageId: string, digest: string): string {
  return `${messageId}.${markOf(secret, messageId, digest).toString('base64url')}`;
}

/** What a text says that has the form of a token; whether it is ours is for `isApprovalToken` to say. */
export function readApprovalToken(text: string): ApprovalToken | undefined {
  const [, messageId, mark] = /^([0-9A-Z]{26})\.([\w-]{32})$/.exec(text) ?? [];
  return messageId === undefined ? undefined : { messageId, mark: Buffer.from(mark!, 'base64url') };
}

/** Whether a token was made for this message with this digest. Compared in constant time. */
export function isApprovalToken(
  secret: Buffer,
  { messageId, mark }: ApprovalToken,
  message: { id: string; digest: string },
): boolean {
  return messageId === message.id && timingSafeEqual(mark, markOf(secret, message.id, message.digest));
}

function markOf(secret: Buffer, messageId: string, digest: string): Buffer {
  return createHmac('sha256', secret)
    .update(`approve\n${messageId}\n${digest}`)
    .digest()
    .subarray(0, MARK_BYTES);
}
