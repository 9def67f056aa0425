/** The text of one part of a message: bytes as they came in, words for programs and people out. */
import { simpleParser } from 'mailparser';
import type { TextPart } from '../../core/mail/structure.ts';
import { htmlToPlainText } from './html-text.ts';

const ENCODINGS = { base64: 'base64', 'quoted-printable': 'quoted-printable', identity: '8bit' } as const;

/** Decodes encoding, charset and flowed lines; HTML is told as plain text. Never throws. */
export async function textOfPart(part: TextPart, body: Buffer): Promise<string> {
  try {
    const { text, html } = await simpleParser(Buffer.concat([headerOf(part), body]), {
      skipHtmlToText: true,
      skipTextToHtml: true,
      skipTextLinks: true,
      skipImageLinks: true,
    });
    const told = part.type === 'text/html' ? htmlToPlainText(html === false ? '' : html) : (text ?? '');
    return told.replaceAll('\r\n', '\n').replace(/\0/g, '\ufffd').toWellFormed().trimEnd();
  } catch {
    return '';
  }
}

/** A header of our own making: what the part said, in the only words that matter here. */
function headerOf({ type, charset, flowed, encoding }: TextPart): Buffer {
  const flow = flowed === undefined ? '' : `; format=flowed${flowed === 'delsp' ? '; delsp=yes' : ''}`;
  return Buffer.from(
    `Content-Type: ${type}; charset="${readableCharset(charset)}"${flow}\r\nContent-Transfer-Encoding: ${ENCODINGS[encoding]}\r\n\r\n`,
  );
}

/** UTF-7 can hide markup from whoever looks for it, and nobody writes it any more. */
function readableCharset(charset: string | null): string {
  if (charset === null) return 'utf-8';
  return /utf-?7/.test(charset) ? 'iso-8859-1' : charset;
}
