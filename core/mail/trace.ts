/** Trace: the Received field we put on every message we take in (RFC 5321 §4.4), and the dates of mail. */
import { isIPv6 } from 'node:net';
import { canonicalDomain } from './domain.ts';
import { isAsciiText } from './text.ts';

/** RFC 3848 and RFC 6531 §4.3: S for TLS, A for a login, UTF8 for SMTPUTF8. */
export type WithProtocol =
  | `${'ESMTP' | 'UTF8SMTP'}${'' | 'S' | 'A' | 'SA'}`
  | 'SMTP'
  | 'HTTP'
  | 'HTTPS'
  | 'IMAP';

export interface Trace {
  from: { ehlo: string; address: string };
  /** Our host name. */
  by: string;
  with: WithProtocol;
  id: string;
  /** Canonical; only for a single recipient, since others would learn of it. */
  for?: string | undefined;
  date: Date;
  tls?: { version: string; cipher: string } | undefined;
}

/** The field, folded, with its CRLF. Whatever the client said at EHLO, it is one well-formed field. */
export function receivedField({ from, by, with: protocol, id, for: recipient, date, tls }: Trace): string {
  const lines = [
    `Received: from ${clientName(from)} (${literal(from.address)})`,
    `by ${safe(by)} with ${protocol} id ${id}`,
  ];
  if (tls !== undefined) lines.push(`(${safe(tls.version)} cipher ${safe(tls.cipher)})`);
  if (recipient !== undefined && (isAsciiText(recipient) || protocol.startsWith('UTF8'))) {
    lines.push(`for <${recipient}>`);
  }
  return `${lines.join('\r\n\t')};\r\n\t${mailDate(date)}\r\n`;
}

/** A date as RFC 5322 §3.3 writes it, in UTC. */
export function mailDate(date: Date): string {
  return date.toUTCString().replace('GMT', '+0000');
}

/** What the client called itself, when that is a host name or a literal; else its address says who it was. */
function clientName({ ehlo, address }: Trace['from']): string {
  if (/^\[[0-9A-Za-z.:]{2,60}\]$/.test(ehlo)) return ehlo;
  const name = canonicalDomain(ehlo);
  return name ?? (ehlo === '' ? literal(address) : `${literal(address)} (EHLO ${safe(ehlo)})`);
}

function literal(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (isIPv6(plain)) return `[IPv6:${safe(plain)}]`; // RFC 5321 §4.1.3
  return `[${safe(plain)}]`;
}

/** No character that means something in a header field, and not many of them. */
function safe(text: string): string {
  return text.slice(0, 64).replace(/[^A-Za-z0-9.:_+-]/g, '?');
}
