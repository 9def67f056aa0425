/** What makes two requests to send the same. Attachments may be large, so they are read a slice at a time. */
import { createHash, type Hash } from 'node:crypto';
import type { GivenAttachment } from '../../core/compose/attachment.ts';
import { canonicalJson } from '../access/fingerprint.ts';
import type { Order } from './order.ts';

const SLICE = 1 << 20;
const digests = new WeakMap<GivenAttachment, string>();

/** SHA-256 of all that was asked for, but for the name the request was given. */
export async function requestFingerprint(order: Order): Promise<Buffer> {
  const { operation, mailbox, key: _, attachments, references: __, ...asked } = order;
  return sha256({ ...asked, attachments: await digestsOf(attachments) });
}

/** SHA-256 of what the recipients would get twice. */
export async function contentFingerprint(order: Order, forwardPaths: readonly string[]): Promise<Buffer> {
  const { subject, markdown, attachments } = order;
  return sha256({
    to: forwardPaths.toSorted(),
    subject,
    markdown,
    attachments: await digestsOf(attachments),
  });
}

function sha256(value: object): Buffer {
  return createHash('sha256').update(canonicalJson(value)).digest();
}

async function digestsOf(attachments: readonly GivenAttachment[]): Promise<object[]> {
  const all: object[] = [];
  for (const one of attachments)
    all.push({ name: one.name, type: one.contentType, content: await digestOf(one) });
  return all;
}

async function digestOf(attachment: GivenAttachment): Promise<string> {
  const known = digests.get(attachment);
  if (known !== undefined) return known;
  const hash: Hash = createHash('sha256');
  const { base64 } = attachment;
  for (let at = 0; at < base64.length; at += SLICE) {
    if (at > 0) await new Promise<void>((go) => setImmediate(go));
    hash.update(base64.slice(at, at + SLICE), 'latin1');
  }
  const digest = hash.digest('hex');
  digests.set(attachment, digest);
  return digest;
}
