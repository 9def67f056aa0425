/** Mail that Postern writes to the people who oversee it: plain text, nothing to click that decides anything. */
import { isAsciiText } from './text.ts';
import { mailDate } from './trace.ts';

export interface Notice {
  /** Our own address, canonical. */
  from: string;
  /** Canonical. */
  to: string;
  /** One line; `oneLine` of text.ts makes it one. */
  subject: string;
  /** Lines end in `\n`. */
  text: string;
  date: Date;
  /** With its brackets. */
  messageId: string;
}

/** The whole message, ready to store and relay as it is. */
export function composeNotice(notice: Notice): Buffer {
  const ascii = isAsciiText(notice.text);
  const body = notice.text.replace(/\r?\n/g, '\r\n').replace(/(?:\r\n)*$/, '\r\n');
  return Buffer.from(
    [
      `From: Postern <${notice.from}>`,
      `To: <${notice.to}>`,
      `Subject: ${headerText(notice.subject)}`,
      `Date: ${mailDate(notice.date)}`,
      `Message-ID: ${notice.messageId}`,
      'Auto-Submitted: auto-generated', // RFC 3834 §5: no robot answers it
      'MIME-Version: 1.0',
      `Content-Type: text/plain; charset=${ascii ? 'us-ascii' : 'utf-8'}`,
      `Content-Transfer-Encoding: ${ascii ? '7bit' : 'base64'}`,
      '',
      ascii ? body : `${Buffer.from(body).toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n`,
    ].join('\r\n'),
  );
}

const WORD_OCTETS = 42; // 56 characters of base64 and the frame stay below the 75 of RFC 2047 §2

/** Text of a header field; what is not ASCII becomes encoded words (RFC 2047), none of which cuts a character. */
function headerText(text: string): string {
  if (isAsciiText(text) && text.length <= 900) return text;
  const words: string[] = [];
  let word = '';
  for (const character of text) {
    if (Buffer.byteLength(word + character) > WORD_OCTETS) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  words.push(word);
  return words.map((one) => `=?utf-8?B?${Buffer.from(one).toString('base64')}?=`).join('\r\n ');
}
