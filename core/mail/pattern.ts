/**
 * Allowlist patterns: one mailbox (`ana@x.example`) or a whole domain (`*@x.example`).
 * Compared in lower case with domains as A-labels; sub-domains do not match.
 */
import { type AddressFault, parseAddress } from './address.ts';
import { canonicalDomain } from './domain.ts';
import { isPublicSuffix } from './public-suffix.ts';

/** A pattern as stored: lower case, `*@domain` for a domain. Only `parsePattern` makes one. */
export type Pattern = string & { readonly [stored]: true };
declare const stored: unique symbol;

export type ParsedPattern =
  | { ok: true; pattern: Pattern }
  | { ok: false; fault: AddressFault | 'needsFullDomain' | 'publicSuffix' };

/**
 * Reads `user@x`, `*@x` or `@x` (kept as `*@x`). The domain has at least two labels: `*@com` is nobody's list, and
 * neither is `*@co.uk`.
 */
export function parsePattern(text: string): ParsedPattern {
  const domainOnly = /^\*?@([^@]*)$/.exec(text);
  if (domainOnly !== null) {
    const domain = canonicalDomain(domainOnly[1]!);
    if (domain === undefined) return { ok: false, fault: 'domain' };
    if (domain.includes('.') && isPublicSuffix(domain)) return { ok: false, fault: 'publicSuffix' };
    return withFullDomain(`*@${domain}`, domain);
  }
  const parsed = parseAddress(text, { smtputf8: true });
  if (!parsed.ok) return parsed;
  // A `*` is an atom character, so `a*@x` would be a mailbox of that name; nobody means that.
  if (parsed.local.includes('*')) return { ok: false, fault: 'syntax' };
  return withFullDomain(parsed.address.toLowerCase(), parsed.domain);
}

function withFullDomain(pattern: string, domain: string): ParsedPattern {
  if (!domain.includes('.')) return { ok: false, fault: 'needsFullDomain' };
  return { ok: true, pattern: pattern as Pattern };
}

/** Whether a canonical address is covered by a stored pattern. */
export function matchesPattern(address: string, pattern: string): boolean {
  const at = address.lastIndexOf('@');
  if (at < 1) return false;
  if (pattern.startsWith('*@')) return address.slice(at).toLowerCase() === pattern.slice(1);
  return address.toLowerCase() === pattern;
}
