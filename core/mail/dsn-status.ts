/** The part of a DSN that programs read (RFC 3464 §2), in ASCII whatever it reports about (RFC 6533 §4). */
import type { Dsn, DsnRecipient } from './dsn.ts';
import { isAsciiText, oneLine } from './text.ts';
import { mailDate } from './trace.ts';

/** The fields of the message, then a block for each recipient, a blank line before each. */
export function deliveryStatus(dsn: Dsn): string {
  const message = [
    `Reporting-MTA: dns; ${ascii(dsn.reportingMta)}`,
    ...optional('Original-Envelope-Id', dsn.envelopeId && ascii(dsn.envelopeId)),
    `Arrival-Date: ${mailDate(dsn.arrivalDate)}`,
  ];
  return [message, ...dsn.recipients.map(recipientFields)]
    .map((block) => `${block.join('\r\n')}\r\n`)
    .join('\r\n');
}

function recipientFields(recipient: DsnRecipient): string[] {
  const { address, action, status, diagnostic, remoteMta, lastAttempt, willRetryUntil } = recipient;
  return [
    `Final-Recipient: ${typedAddress(address)}`,
    `Action: ${action}`,
    `Status: ${/^[245]\.\d{1,3}\.\d{1,3}$/.test(status) ? status : '5.0.0'}`,
    ...optional('Remote-MTA', remoteMta && `dns; ${ascii(remoteMta)}`),
    ...optional('Diagnostic-Code', diagnostic && `smtp; ${fold(ascii(replyText(diagnostic.reply)))}`),
    ...optional('Last-Attempt-Date', lastAttempt && mailDate(lastAttempt)),
    ...optional('Will-Retry-Until', action === 'delayed' && willRetryUntil && mailDate(willRetryUntil)),
  ];
}

/** A next hop's reply as it was spoken. */
export function replyText({
  code,
  enhanced,
  text,
}: {
  code: number;
  enhanced: string | null;
  text: string;
}): string {
  const words = [code === 0 ? '' : String(code), enhanced ?? '', oneLine(text, 1024)];
  return words.filter((word) => word !== '').join(' ');
}

/** RFC 6533 §3: what is not ASCII is written `\x{4E2D}` under the type utf-8. */
function typedAddress(address: string): string {
  if (isAsciiText(address)) return `rfc822; ${address}`;
  const xtext = address.replace(
    /[^!-*,-<>-[\]-~]/gu,
    (char) => `\\x{${char.codePointAt(0)!.toString(16).toUpperCase()}}`,
  );
  return `utf-8; ${xtext}`;
}

function optional(name: string, value: string | false | null | undefined): string[] {
  return value ? [`${name}: ${value}`] : [];
}

function ascii(text: string): string {
  return oneLine(text, 1024).replace(/[^\x20-\x7e]/gu, '?');
}

/** Long text in lines of about 76 characters, cut at spaces where there are some (RFC 5322 §2.1.1). */
function fold(text: string): string {
  return text.replace(/(.{40,75}) (?=.)/g, '$1\r\n\t').replace(/[^\r\n]{900}(?=.)/g, '$&\r\n\t');
}
