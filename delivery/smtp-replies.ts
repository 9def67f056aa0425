/**
 * Reads a next hop's replies (RFC 5321 §4.2) from what the socket brings, strictly: what is not exactly a reply
 * is never taken for a yes or a no.
 */

/** `raw` keeps its lines, parted by CRLF, and is cut at 8 kB. */
export interface RawReply {
  code: number;
  raw: string;
}

export class NotAReply extends Error {}

const REPLY_OCTETS = 512 * 1024;
const KEPT = 8192;
const LINE = /^([2-5][0-9][0-9])(?:([ -])(.*))?$/s;

export class ReplyReader {
  #rest = '';
  #code = '';
  #kept = '';
  #octets = 0;

  /** The replies that `chunk` completes. Throws `NotAReply` on garbage, or on a reply without end. */
  push(chunk: Buffer): RawReply[] {
    const replies: RawReply[] = [];
    this.#octets += chunk.length;
    const text = this.#rest + chunk.toString('latin1');
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      const line = text.slice(start, end > start && text.charCodeAt(end - 1) === 13 ? end - 1 : end);
      start = end + 1;
      const reply = this.#line(line);
      if (reply === undefined) continue;
      replies.push(reply);
      this.#octets = text.length - start;
    }
    this.#rest = text.slice(start);
    if (this.#octets > REPLY_OCTETS) throw new NotAReply('the reply is too long');
    return replies;
  }

  /** True between replies. */
  get idle(): boolean {
    return this.#rest === '' && this.#code === '';
  }

  #line(line: string): RawReply | undefined {
    const match = LINE.exec(line);
    if (match === null) throw new NotAReply('what came is no SMTP reply');
    const code = match[1]!;
    if (this.#code !== '' && this.#code !== code) throw new NotAReply('the lines of a reply disagree');
    if (this.#kept.length < KEPT) this.#kept += this.#kept === '' ? line : `\r\n${line}`;
    if (match[2] === '-') {
      this.#code = code;
      return undefined;
    }
    const raw = decode(this.#kept.slice(0, KEPT));
    this.#code = '';
    this.#kept = '';
    return { code: Number(code), raw };
  }
}

/** UTF-8 where it is that, else one character an octet (RFC 5321 §4.2.1 names no charset). */
function decode(latin1: string): string {
  if (/^[\x00-\x7f]*$/.test(latin1)) return latin1;
  const utf8 = Buffer.from(latin1, 'latin1').toString();
  return utf8.includes('\ufffd') ? latin1 : utf8;
}
