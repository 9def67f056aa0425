/**
 * The one form of an address that is judged, shown, stored and sent.
 *
 *   Ana.Maria+news @ Bücher.EXAMPLE   ──▶   Ana.Maria+news @ xn--bcher-kva.example
 *   local part: as written                  domain: lower-case A-labels
 *
 * Our profile of RFC 5321 §4.1.2 is narrow on purpose: dot-atom local parts and host names only.
 * Quoted local parts, address literals, source routes, comments and groups are refused, since
 * two parsers that disagree about one of them send mail where nobody approved it to go.
 */
import { canonicalDomain, domainLooksNumeric, unicodeDomain } from './domain.ts';

declare const canonical: unique symbol;
/** A canonical address. Only `parseAddress` makes one. */
export type Address = string & { readonly [canonical]: true };

/** Why a text is no address of ours; `addressRefusal` in reply.ts gives each its reply. */
export type AddressFault =
  | 'syntax'
  | 'domain'
  | 'tooLong'
  | 'quoted'
  | 'literal'
  | 'route'
  | 'needsSmtputf8'
  | 'invisible';

export type ParsedAddress =
  | { ok: true; address: Address; local: string; domain: string }
  | { ok: false; fault: AddressFault };

// RFC 5321 §4.5.3.1: the path of 256 octets includes its angle brackets.
const LOCAL_OCTETS = 64;
const ADDRESS_OCTETS = 254;

const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
const DOT_ATOM = new RegExp(`^${ATOM}+(?:\\.${ATOM}+)*$`);
const UTF8_ATOM = ATOM.replace(']', '\\u0080-\\u{10ffff}]').replace('~-', '~\\-');
const UTF8_DOT_ATOM = new RegExp(`^${UTF8_ATOM}+(?:\\.${UTF8_ATOM}+)*$`, 'u');
const ASCII = /^[\x00-\x7f]*$/;
const CONTROL = /[\x00-\x1f\x7f]/;
// Controls, format characters (bidi among them), lone surrogates, unassigned, spaces, and what renders as nothing.
const INVISIBLE = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u;

/**
 * Reads one bare address (`local@domain`, no angle brackets, no space around it). Without `smtputf8`
 * a non-ASCII character anywhere is the fault `needsSmtputf8` (RFC 6531 §3.5).
 */
export function parseAddress(text: string, { smtputf8 = false }: { smtputf8?: boolean } = {}): ParsedAddress {
  const fault = faultOfWhole(text, smtputf8);
  if (fault !== undefined) return { ok: false, fault };

  const at = text.lastIndexOf('@');
  const local = text.slice(0, at);
  const localFault = faultOfLocal(local);
  if (localFault !== undefined) return { ok: false, fault: localFault };

  const written = text.slice(at + 1);
  if (written.startsWith('[') || domainLooksNumeric(written)) return { ok: false, fault: 'literal' };
  const domain = canonicalDomain(written);
  if (domain === undefined) return { ok: false, fault: faultOfDomain(written) };
  if (octets(local) + 1 + domain.length > ADDRESS_OCTETS) return { ok: false, fault: 'tooLong' };
  return { ok: true, address: `${local}@${domain}` as Address, local, domain };
}

function faultOfWhole(text: string, smtputf8: boolean): AddressFault | undefined {
  if (text.length > 4 * ADDRESS_OCTETS) return 'tooLong'; // no work on what cannot be one
  if (CONTROL.test(text)) return 'syntax';
  if (!ASCII.test(text)) {
    if (INVISIBLE.test(text)) return 'invisible';
    if (!smtputf8) return 'needsSmtputf8';
    // Two spellings of one character would be two addresses that look the same (RFC 6532 §3.1).
    if (text.normalize('NFC') !== text) return 'syntax';
  }
  if (text.startsWith('"')) return 'quoted';
  if (text.startsWith('@') && text.includes(':')) return 'route'; // RFC 5321 Appendix C
  return text.includes('@') ? undefined : 'syntax';
}

function faultOfLocal(local: string): AddressFault | undefined {
  if (octets(local) > LOCAL_OCTETS) return 'tooLong';
  // An encoded word where none can be (RFC 2047 §5): some parsers decode it and find another address.
  if (/=\?[^?]+\?[bq]\?/i.test(local)) return 'syntax';
  const dotAtom = ASCII.test(local) ? DOT_ATOM : UTF8_DOT_ATOM;
  if (!dotAtom.test(local)) return 'syntax';
  // A mark without a letter would join itself to whatever is shown before the address.
  return /^\p{M}/u.test(local) ? 'syntax' : undefined;
}

function faultOfDomain(written: string): AddressFault {
  if (octets(written) > 255) return 'tooLong';
  const dots = written === '' || written.startsWith('.') || written.endsWith('.') || written.includes('..');
  return dots || /[\s"(),:;<>@[\\\]]/.test(written) ? 'syntax' : 'domain';
}

export type ParsedPath = { ok: true; path: Address | '' } | { ok: false; fault: AddressFault };

/**
 * Reads the path of MAIL FROM or RCPT TO with its angle brackets (RFC 5321 §4.1.2). The null path `<>`
 * is `''` and only good where `allowNull` says so: as a reverse-path (§4.5.5).
 */
export function parsePath(
  text: string,
  { smtputf8 = false, allowNull = false }: { smtputf8?: boolean; allowNull?: boolean } = {},
): ParsedPath {
  if (!text.startsWith('<') || !text.endsWith('>')) return { ok: false, fault: 'syntax' };
  const inside = text.slice(1, -1);
  if (inside === '') return allowNull ? { ok: true, path: '' } : { ok: false, fault: 'syntax' };
  const parsed = parseAddress(inside, { smtputf8 });
  return parsed.ok ? { ok: true, path: parsed.address } : parsed;
}

/** The domain of a canonical address; `''` for the null path. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}

/** The local part of a canonical address; `''` for the null path. */
export function localOf(address: string): string {
  return address.slice(0, Math.max(0, address.lastIndexOf('@')));
}

/**
 * Whether two canonical addresses name the same mailbox of ours: the domain is equal, and so is the
 * local part without regard to case. RFC 5321 §2.4 leaves that to the host that owns the mailbox, so
 * this is no way to compare addresses elsewhere: there `A@x` and `a@x` may be two people.
 */
export function sameAddress(a: string, b: string): boolean {
  return a === b || mailboxKey(a) === mailboxKey(b);
}

/** The form under which a mailbox of ours is looked up: all in lower case (see `sameAddress`). */
export function mailboxKey(address: string): string {
  return address.toLowerCase();
}

/** The address as people read it, with U-labels. For display only: it is never compared or sent. */
export function displayAddress(address: string): string {
  return address === '' ? '' : `${localOf(address)}@${unicodeDomain(domainOf(address))}`;
}

function octets(text: string): number {
  return Buffer.byteLength(text);
}
