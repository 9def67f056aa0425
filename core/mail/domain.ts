/** Host names in mail: one canonical spelling, lower-case A-labels (RFC 5890 §2.3.2.1). */
import { domainToASCII, domainToUnicode } from 'node:url';

const DOMAIN_OCTETS = 253; // RFC 1035 §3.1 in text form; RFC 5321 allows 255 that DNS cannot hold
const LDH_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ASCII = /^[\x00-\x7f]*$/;

/**
 * The canonical spelling of a host name, or undefined when the text is none. The URL functions of
 * Node are lenient (`a%2eb`, `a/b`, `127.1`, soft hyphens, full-width letters), so each label is
 * also asked whether it survives the way there and back unchanged.
 */
export function canonicalDomain(text: string): string | undefined {
  if (text.length > 2 * DOMAIN_OCTETS) return undefined;
  const labels = text.split('.').map(canonicalLabel);
  if (labels.includes(undefined)) return undefined;
  const domain = labels.join('.');
  return domain.length > DOMAIN_OCTETS || domainLooksNumeric(domain) ? undefined : domain;
}

/**
 * Whether a domain could be taken for an IPv4 address: `127.1`, `2130706433`, `0x7f.1`. No top-level
 * domain begins with a digit, and resolvers and URL parsers disagree about these.
 */
export function domainLooksNumeric(domain: string): boolean {
  return /(?:^|\.)[0-9](?:x?[0-9a-f]*)$/i.test(domain);
}

/** The domain with U-labels, for display. */
export function unicodeDomain(domain: string): string {
  return domain.includes('xn--') ? domainToUnicode(domain) || domain : domain;
}

function canonicalLabel(label: string): string | undefined {
  const lower = label.toLowerCase();
  if (ASCII.test(label)) {
    if (!LDH_LABEL.test(lower)) return undefined;
    return lower.startsWith('xn--') ? checkedALabel(lower) : lower;
  }
  const ascii = domainToASCII(label);
  if (!ascii.startsWith('xn--') || !LDH_LABEL.test(ascii)) return undefined;
  return domainToUnicode(ascii) === lower ? ascii : undefined;
}

/** An A-label must stand for a U-label, and be the only spelling of it. */
function checkedALabel(label: string): string | undefined {
  const unicode = domainToUnicode(label);
  if (unicode === '' || ASCII.test(unicode)) return undefined;
  return domainToASCII(unicode) === label ? label : undefined;
}
