/**
 * The report owed to a reverse-path when mail was not, or not yet, passed on (RFC 3464).
 *
 *   multipart/report                      RFC 6522
 *     text/plain                what happened, in plain words
 *     message/delivery-status   the same for programs
 *     the original              its header, or all of it up to 50 kB
 *
 * The caller sends it with a null reverse-path (RFC 5321 §4.5.5) and never for mail that had one.
 */
import { isAscii } from 'node:buffer';
import { deliveryStatus } from './dsn-status.ts';
import { type DsnKind, dsnSubject, dsnWords } from './dsn-words.ts';
import { parseHeaders } from './headers.ts';
import type { NextHopReply } from './next-hop.ts';
import type { Reply } from './reply.ts';
import { isAsciiText } from './text.ts';
import { mailDate } from './trace.ts';

export interface DsnRecipient {
  /** Canonical. */
  address: string;
  action: 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded';
  /** RFC 3463. */
  status: string;
  diagnostic: { type: 'smtp'; reply: NextHopReply | Reply } | null;
  remoteMta?: string | undefined;
  lastAttempt?: Date | undefined;
  willRetryUntil?: Date | undefined;
  /** For the person: why, in a sentence, when no next hop said it. */
  reason?: string | undefined;
}

export interface Dsn {
  kind: DsnKind;
  /** Our host name. */
  reportingMta: string;
  /** Canonical; the reverse-path of the original, or the mailbox that owns it. */
  to: string;
  from: string;
  arrivalDate: Date;
  envelopeId?: string | undefined;
  /** With or without its angle brackets. */
  originalMessageId?: string | null | undefined;
  recipients: readonly DsnRecipient[];
  /** The bytes as stored; null when they are gone. */
  original: Buffer | null;
  /** The header alone (default), or the message up to 50 kB. */
  returnContent?: 'headers' | 'full';
  now: Date;
  /** From `newId`: makes the Message-ID and the boundary, so nobody can have foreseen it. */
  id: string;
}

const RETURNED_OCTETS = 50 * 1024;

/** The whole message, ready to store and relay as it is. */
export function composeDsn(dsn: Dsn): Buffer {
  const boundary = `=_postern_${dsn.id}`;
  const parts = [textPart(dsnWords(dsn)), statusPart(dsn), ...originalPart(dsn)];
  const eightBit = parts.some((part) => !isAscii(part));
  const open = Buffer.from(`--${boundary}\r\n`);
  return Buffer.concat([
    Buffer.from(header(dsn, boundary, eightBit)),
    ...parts.flatMap((part) => [open, part, Buffer.from('\r\n')]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
}

function header(dsn: Dsn, boundary: string, eightBit: boolean): string {
  const original = singleMessageId(dsn.originalMessageId);
  return lines(
    `From: Mail Delivery System <${dsn.from}>`,
    `To: <${dsn.to}>`,
    `Subject: ${dsnSubject(dsn.kind)}`,
    `Date: ${mailDate(dsn.now)}`,
    `Message-ID: <${dsn.id}@${dsn.reportingMta}>`,
    ...(original === undefined ? [] : [`In-Reply-To: ${original}`, `References: ${original}`]),
    'Auto-Submitted: auto-replied', // RFC 3834 §5
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="${boundary}"`,
    `Content-Transfer-Encoding: ${eightBit ? '8bit' : '7bit'}`,
    '',
    '',
  );
}

/** In one pair of brackets, or not at all: it came from a stranger's header. */
function singleMessageId(id: string | null | undefined): string | undefined {
  const bare = (id ?? '').replace(/^<+|>+$/g, '');
  return /^[!-;=?-~]{1,900}$/.test(bare) ? `<${bare}>` : undefined;
}

function textPart(words: string): Buffer {
  if (isAsciiText(words)) {
    return Buffer.from(lines('Content-Type: text/plain; charset=us-ascii', '', words));
  }
  const encoded = Buffer.from(words).toString('base64').replace(/.{76}/g, '$&\r\n');
  return Buffer.from(
    lines('Content-Type: text/plain; charset=utf-8', 'Content-Transfer-Encoding: base64', '', encoded),
  );
}

function statusPart(dsn: Dsn): Buffer {
  return Buffer.from(lines('Content-Type: message/delivery-status', '', deliveryStatus(dsn)));
}

function originalPart({ original, returnContent = 'headers' }: Dsn): Buffer[] {
  if (original === null) return [];
  const full = returnContent === 'full';
  const bytes = cut(full ? original : original.subarray(0, headerLength(original)));
  if (full) return [typed('message/rfc822', isAscii(bytes) ? '7bit' : '8bit', bytes)];
  if (isAscii(bytes)) return [typed('text/rfc822-headers', '7bit', bytes)];
  // RFC 6533 §6: 8-bit header text has a type of its own, which may be base64.
  const encoded = Buffer.from(bytes.toString('base64').replace(/.{76}/g, '$&\r\n'));
  return [typed('message/global-headers', 'base64', encoded)];
}

function typed(type: string, encoding: string, bytes: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`Content-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`),
    bytes,
  ]);
}

function headerLength(original: Buffer): number {
  const { text } = parseHeaders(original);
  return text.length;
}

/** At a line's end, so that what is returned stays well-formed lines. */
function cut(bytes: Buffer): Buffer {
  if (bytes.length <= RETURNED_OCTETS) return bytes;
  const end = bytes.lastIndexOf('\r\n', RETURNED_OCTETS - 2);
  return bytes.subarray(0, end === -1 ? RETURNED_OCTETS : end + 2);
}

function lines(...all: string[]): string {
  return all.join('\r\n');
}
