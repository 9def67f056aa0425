/**
 * Attachments on their way into a message. They come as base64 and leave as base64, so they are never decoded: the
 * text is checked, and copied line by line to where it will stand.
 */
import { cleanFileName, distinctName } from '../mail/attachment-name.ts';
import { parameter } from './header.ts';

/** As a program gave it; the base64 was checked by `isStrictBase64`. */
export interface GivenAttachment {
  name: string;
  contentType: string;
  base64: string;
}

/** As it goes into the message: from base64 without line breaks, or from the lines of a stored message. */
export interface AttachmentPart {
  name: string;
  /** It had been written otherwise, with what could mislead. */
  altered: boolean;
  contentType: string;
  /** Decoded. */
  size: number;
  content: { base64: string } | { lines: Buffer };
}

const LINE = 76;
const SLICE = LINE * 16_384;

/** Base64 of RFC 4648 §4 and nothing else: padded, without line breaks, and without bits that mean nothing. */
export function isStrictBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  for (let at = 0; at < text.length; at += SLICE) {
    const slice = text.slice(at, at + SLICE);
    const last = at + SLICE >= text.length;
    if (!(last ? /^[A-Za-z0-9+/]*(?:[AEIMQUYcgkosw048]=|[AQgw]==)?$/ : /^[A-Za-z0-9+/]*$/).test(slice))
      return false;
  }
  return true;
}

const TOKEN = "[!#$%&'*+.^_`{|}~0-9A-Za-z-]{1,127}";
const TYPE = new RegExp(
  `^${TOKEN}/${TOKEN}((?: *; *${TOKEN}=(?:${TOKEN}|"[^";\\\\\\x00-\\x1f\\x7f-\\uffff]{0,127}"))*) *$`,
);

/**
 * The content type as it is written, or undefined for what is none, or cannot be carried as base64: multipart and
 * message (RFC 2045 §6.4). A name in it is left out, since it would stand beside the one that was cleaned.
 */
export function readContentType(written: string): string | undefined {
  if (written.length > 255 || !TYPE.test(written)) return undefined;
  const [type, ...parameters] = written.split(/ *; */).map((piece) => piece.trim());
  if (/^(?:multipart|message)\//i.test(type!)) return undefined;
  if (parameters.some((one) => /^boundary\b/i.test(one))) return undefined;
  return [type!.toLowerCase(), ...parameters.filter((one) => !/^name\b/i.test(one))].join('; ');
}

/** What programs gave, under names that are clean and distinct. */
export function partsOf(given: readonly GivenAttachment[]): AttachmentPart[] {
  const taken = new Set<string>();
  return given.map(({ name: written, contentType, base64 }) => {
    const name = cleanFileName(written);
    return {
      name: distinctName(name, taken),
      altered: name !== written,
      contentType,
      size: decodedSize(base64),
      content: { base64 },
    };
  });
}

/** Octets that the content takes in the message. */
export function encodedLength({ content }: AttachmentPart): number {
  if ('lines' in content) return content.lines.length;
  const { length } = content.base64;
  return length + 2 * Math.max(0, Math.ceil(length / LINE) - 1);
}

export function partHeader({ name, contentType }: AttachmentPart): string {
  return (
    `Content-Type: ${contentType.replaceAll('; ', ';\r\n ')}\r\nContent-Transfer-Encoding: base64\r\n` +
    `Content-Disposition: attachment${parameter('filename', name)}\r\n\r\n`
  );
}

/** Writes the content at `at`, a slice at a time with time for others between; resolves to where it ends. */
export async function writeContent(part: AttachmentPart, bytes: Buffer, at: number): Promise<number> {
  const { content } = part;
  if ('lines' in content) return at + content.lines.copy(bytes, at);
  const { base64 } = content;
  let end = at;
  for (let from = 0; from < base64.length; from += SLICE) {
    if (from > 0) await new Promise<void>((go) => setImmediate(go));
    const slice = base64.slice(from, from + SLICE).replace(/.{76}(?=.)/g, '$&\r\n');
    if (from > 0) end += bytes.write('\r\n', end, 'latin1');
    end += bytes.write(slice, end, 'latin1');
  }
  return end;
}

function decodedSize(base64: string): number {
  return (base64.length / 4) * 3 - (base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0);
}
