/**
 * What stands below everything that a program writes: who answers for it, that no person wrote it, who looks at it,
 * and where that can be checked. It is part of the message: the reviewer sees it, and the digest covers it.
 */
import type { Oversight } from './draft.ts';
import { escapeHtml } from './html.ts';

export interface Footer {
  /** The mailbox's own words, or the operator's name. */
  signature: string;
  oversight: Oversight;
  verifyLink: string | null;
  physicalAddress: string | null;
}

/** Behind the line that mail programs know a signature by (RFC 3676 §4.3). */
export function footerText(footer: Footer): string {
  const { signature, verifyLink, physicalAddress } = footer;
  const lines = [
    signature,
    sentence(footer),
    ...(verifyLink === null ? [] : [`Verify: ${verifyLink}`]),
    ...(physicalAddress === null ? [] : [physicalAddress]),
  ];
  return `-- \n${lines.join('\n')}\n`;
}

export function footerHtml(footer: Footer): string {
  const { signature, verifyLink, physicalAddress } = footer;
  const link = verifyLink === null ? null : `<a href="${escapeHtml(verifyLink)}">Verify this message</a>`;
  const lines = [lined(signature), lined(sentence(footer)), link, physicalAddress && lined(physicalAddress)];
  return lines.filter((line) => line).join('<br>\n');
}

function lined(text: string): string {
  return escapeHtml(text).replace(/\r\n?|\n/g, '<br>\n');
}

function sentence({ oversight }: Footer): string {
  return `Written by an AI agent. ${inWords(oversight)}`;
}

/** No more than is true of every message under the mode, however it was let go. */
export function inWords({ mode, allowlistCounts }: Oversight): string {
  if (mode === 'monitored') return 'A person receives a copy of what it sends.';
  if (mode === 'autonomous') return 'It sends without review by a person.';
  return allowlistCounts
    ? 'A person approves what it sends, or has allowed whom it writes to.'
    : 'A person approves each message before it is sent.';
}
