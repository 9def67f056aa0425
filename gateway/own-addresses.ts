import { domainOf, localOf, mailboxKey, sameAddress } from '../core/mail/address.ts';

/** `ana+news@x` without its tag; undefined when it has none. */
export function withoutTag(address: string): string | undefined {
  const local = localOf(address);
  const plus = local.indexOf('+');
  return plus > 0 ? `${local.slice(0, plus)}@${domainOf(address)}` : undefined;
}

/** Keys under which a mailbox for this recipient may be found, the exact one first. */
export function mailboxKeys(address: string): string[] {
  const base = withoutTag(address);
  return base === undefined ? [mailboxKey(address)] : [mailboxKey(address), mailboxKey(base)];
}

/**
 * Whether a reverse-path is the mailbox's own. A tag is allowed, since bounce handling needs it; so is the
 * null path, which receipts must use (RFC 8098 §2.1) and which speaks in nobody's name.
 */
export function isOwnReversePath(reversePath: string, mailbox: string): boolean {
  if (reversePath === '' || sameAddress(reversePath, mailbox)) return true;
  const base = withoutTag(reversePath);
  return base !== undefined && sameAddress(base, mailbox);
}
