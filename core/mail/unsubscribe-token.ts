/**
 * What stands in the links by which a recipient unsubscribes (RFC 8058): the mailbox that wrote and the address that
 * was written to, signed with a secret of ours, so that a link serves for that address alone and cannot be made up.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Unsubscribing {
  mailboxId: string;
  /** Canonical. */
  address: string;
}

const MARK_BYTES = 16;

/** At most 400 characters, all of them safe in a path. */
export function unsubscribeToken(secret: Buffer, { mailboxId, address }: Unsubscribing): string {
  const said = Buffer.from(`${mailboxId} ${address}`);
  return `${said.toString('base64url')}.${markOf(secret, said).toString('base64url')}`;
}

/** What a token says; undefined when it is none of ours. */
export function readUnsubscribeToken(secret: Buffer, token: string): Unsubscribing | undefined {
  const [said = '', mark = '', ...rest] = token.split('.');
  const bytes = Buffer.from(said, 'base64url');
  const shown = Buffer.from(mark, 'base64url');
  if (rest.length > 0 || shown.length !== MARK_BYTES || !timingSafeEqual(shown, markOf(secret, bytes)))
    return undefined;
  const text = bytes.toString();
  const blank = text.indexOf(' ');
  return { mailboxId: text.slice(0, blank), address: text.slice(blank + 1) };
}

function markOf(secret: Buffer, said: Buffer): Buffer {
  return createHmac('sha256', secret).update('unsubscribe\n').update(said).digest().subarray(0, MARK_BYTES);
}
