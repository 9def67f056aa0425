/**
 * A draft becomes one message:
 *
 *   header                                    multipart/mixed only where something is attached:
 *   multipart/alternative                       multipart/alternative …
 *     text/plain   the Markdown as written      attachment, as base64
 *     text/html    the same, rendered           attachment …
 *
 * Everything in it but addresses (RFC 6532) is 7 bit. Who is in Bcc stands in the envelope alone (RFC 5322 §3.6.3).
 */
import { mailDate } from '../mail/trace.ts';
import { type AttachmentPart, encodedLength, partHeader, writeContent } from './attachment.ts';
import { ccOf, type Draft, type DraftChanges, forwardPathsOf, type Sender } from './draft.ts';
import { type Footer, footerHtml, footerText } from './footer.ts';
import { addressField, field, mailbox, textField } from './header.ts';
import { page } from './html.ts';
import { textPart } from './part.ts';
import { render } from './rendering.ts';

export interface Composed {
  bytes: Buffer;
  /** The draft as it is to be kept: it knows where the attachments stand in these bytes. */
  draft: Draft;
}

/** Thrown before anything large is made. */
export class TooLarge extends Error {}

/**
 * Writes the message of a draft. Attachments are taken from `parts`, and the draft that is returned refers to them.
 * Throws TooLarge when it would be longer than `limit`.
 */
export async function compose(
  draft: Draft,
  parts: readonly AttachmentPart[],
  sender: Sender,
  limit: number,
): Promise<Composed> {
  const attached = parts.reduce((sum, part) => sum + encodedLength(part), 0);
  if (attached > limit) throw new TooLarge();
  const mark = draft.messageId.replace(/[^0-9A-Za-z]/g, '').slice(0, 40);
  const text = await alternative(draft, sender, `=_a_${mark}`);
  const head = headerOf(draft, sender);
  if (parts.length === 0)
    return { bytes: within(Buffer.from(head + text), limit), draft: { ...draft, attachments: [] } };

  const boundary = `=_m_${mark}`;
  const opening = `${head}Content-Type: multipart/mixed;\r\n boundary="${boundary}"\r\n\r\n--${boundary}\r\n${text}`;
  const before = parts.map((part, n) =>
    Buffer.from(`${n === 0 ? opening : ''}\r\n--${boundary}\r\n${partHeader(part)}`),
  );
  const end = Buffer.from(`\r\n--${boundary}--\r\n`);
  const size = before.reduce((sum, { length }) => sum + length, attached) + end.length;
  if (size > limit) throw new TooLarge();

  const bytes = Buffer.allocUnsafe(size);
  const attachments: Draft['attachments'] = [];
  let at = 0;
  for (const [n, part] of parts.entries()) {
    const begins = at + before[n]!.copy(bytes, at);
    at = await writeContent(part, bytes, begins);
    const { name, altered, contentType, size: decoded } = part;
    attachments.push({
      name,
      altered,
      contentType,
      size: decoded,
      fromEnd: size - begins,
      length: at - begins,
    });
  }
  end.copy(bytes, at);
  return { bytes, draft: { ...draft, attachments } };
}

/**
 * Writes a message anew with what `changes` say; id, Message-ID, date and attachments stay. `stored` are the bytes
 * that the draft was kept with.
 */
export async function recompose(
  draft: Draft,
  changes: DraftChanges,
  stored: Buffer,
  sender: Sender,
  limit: number,
): Promise<Composed> {
  const parts = draft.attachments.map(({ fromEnd, length, ...known }) => {
    const begins = stored.length - fromEnd;
    if (begins < 0 || length > fromEnd) throw new Error('an attachment lies outside the stored message');
    return { ...known, content: { lines: stored.subarray(begins, begins + length) } };
  });
  return compose({ ...draft, ...changes }, parts, sender, limit);
}

function within(bytes: Buffer, limit: number): Buffer {
  if (bytes.length > limit) throw new TooLarge();
  return bytes;
}

function headerOf(draft: Draft, sender: Sender): string {
  const cc = ccOf(draft);
  const { messageId, replyTo, inReplyTo, references, ucan } = draft;
  return [
    field('From', mailbox(sender.name, sender.address)),
    draft.to.length > 0 ? addressField('To', draft.to) : '',
    cc.length > 0 ? addressField('Cc', cc) : '',
    replyTo === null ? '' : field('Reply-To', replyTo),
    textField('Subject', draft.subject),
    field('Message-ID', messageId),
    inReplyTo === null ? '' : field('In-Reply-To', inReplyTo),
    references.length > 0 ? field('References', references.join('\r\n ')) : '',
    field('Date', mailDate(new Date(draft.date))),
    unsubscribing(draft, sender),
    ucan === null || sender.did === null ? '' : agentIdentity(sender.did, ucan),
    'MIME-Version: 1.0\r\n',
  ].join('');
}

/** RFC 8058. One link cannot serve several people, so it is given to one alone. */
function unsubscribing(draft: Draft, { unsubscribeLink }: Sender): string {
  const [only, ...others] = forwardPathsOf(draft);
  if (unsubscribeLink === null || only === undefined || others.length > 0) return '';
  return (
    field('List-Unsubscribe', `<${unsubscribeLink(only)}>`) +
    field('List-Unsubscribe-Post', 'List-Unsubscribe=One-Click')
  );
}

/** Folded within the quotes, since no line may be longer than 998 characters (RFC 5322 §2.1.1). */
function agentIdentity(did: string, ucan: string): string {
  return field('X-Agent-Identity', `did="${did}";\r\n ucan="${ucan.replace(/.{900}(?=.)/g, '$&\r\n ')}"`);
}

async function alternative(draft: Draft, sender: Sender, boundary: string): Promise<string> {
  const footer: Footer = {
    signature: sender.signatureBlock ?? sender.operatorName,
    oversight: draft.oversight,
    verifyLink: sender.verifyLink({
      messageId: draft.messageId,
      to: draft.to,
      cc: ccOf(draft),
      subject: draft.subject,
      oversightMode: draft.oversight.mode,
    }),
    physicalAddress: sender.physicalAddress,
  };
  const plain = textPart('plain', `${draft.markdown.replace(/\s*$/, '')}\n\n${footerText(footer)}`);
  const html = textPart('html', page(await render(draft.markdown), footerHtml(footer)));
  return (
    `Content-Type: multipart/alternative;\r\n boundary="${boundary}"\r\n\r\n` +
    `--${boundary}\r\n${plain}\r\n--${boundary}\r\n${html}\r\n--${boundary}--\r\n`
  );
}
