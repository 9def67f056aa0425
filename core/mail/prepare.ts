/**
 * The one edit between the bytes a client sent and the bytes we store, sign and relay:
 *
 *   Received: …        added on top
 *   Message-ID, Date   added when missing (RFC 6409 §8)
 *   Bcc, X-Postern-*   removed with their continuation lines
 *   all else           byte for byte as it came, so that signatures hold (RFC 6376 §3.7)
 */
import { type Field, type HeaderBlock, parseHeaders } from './headers.ts';
import { mailDate } from './trace.ts';

export interface Edits {
  /** A whole field with its CRLF, from `receivedField`. */
  received?: string;
  /** RFC 5322 §3.6.3. Off where we take mail in for others: what a stranger signed stays. */
  removeBcc?: boolean;
  removeControl?: boolean;
  /** Further fields to leave out, each by the offsets it has in the block. */
  removeAlso?: (field: Field) => boolean;
  /** With its angle brackets. */
  addMessageId?: string | undefined;
  addDate?: Date | undefined;
  /** The parse of the same bytes, when the caller has it already. */
  block?: HeaderBlock;
}

/** The message to store; the bytes are copied once. Expects a header that `headerRefusal` let pass. */
export function prepare(raw: Buffer, edits: Edits): Buffer {
  const { fields } = edits.block ?? parseHeaders(raw);
  const pieces: Buffer[] = [Buffer.from(addedFields(edits))];
  let kept = 0;
  for (const field of fields) {
    if (!isRemoved(field, edits)) continue;
    pieces.push(raw.subarray(kept, field.start));
    kept = field.end;
  }
  pieces.push(raw.subarray(kept));
  return Buffer.concat(pieces);
}

function addedFields({ received = '', addMessageId, addDate }: Edits): string {
  const messageId = addMessageId === undefined ? '' : `Message-ID: ${addMessageId}\r\n`;
  const date = addDate === undefined ? '' : `Date: ${mailDate(addDate)}\r\n`;
  return received + messageId + date;
}

function isRemoved(field: Field, { removeBcc, removeControl, removeAlso }: Edits): boolean {
  const { name } = field;
  if (removeBcc === true && (name === 'bcc' || name === 'resent-bcc')) return true;
  if (removeControl === true && name.startsWith('x-postern-')) return true;
  return removeAlso?.(field) === true;
}
