/**
 * What a message must look like on the wire: lines that end in CRLF, and no NUL.
 *
 * A bare CR or LF is a line ending to some servers and none to others; what lies between is how a
 * second message is smuggled inside a first (RFC 5321 §2.3.8, §4.1.1.4). So nothing that holds
 * one is stored or sent, whichever way it came in.
 */
import { REFUSALS, type Reply } from './reply.ts';

export interface LineEndings {
  bareCr: boolean;
  bareLf: boolean;
  nul: boolean;
  /** Octets of the longest line, its CRLF not counted. */
  longestLine: number;
  /** Whether the last line has its CRLF; an empty message has. */
  terminated: boolean;
}

const CR = 0x0d;
const LF = 0x0a;

/** Looks at a message that comes in pieces; the result does not depend on where it was cut. */
export class LineEndingCheck {
  #bareCr = false;
  #bareLf = false;
  #nul = false;
  #longest = 0;
  #line = 0; // octets of the current line so far, a pending CR not counted
  #afterCr = false;

  push(chunk: Buffer): void {
    if (!this.#nul) this.#nul = chunk.includes(0);
    let start = 0;
    while (start < chunk.length) {
      if (this.#afterCr) start = this.#resolveCr(chunk, start);
      else start = this.#scanLine(chunk, start);
    }
  }

  result(): LineEndings {
    return {
      bareCr: this.#bareCr || this.#afterCr,
      bareLf: this.#bareLf,
      nul: this.#nul,
      longestLine: Math.max(this.#longest, this.#line + (this.#afterCr ? 1 : 0)),
      terminated: this.#line === 0 && !this.#afterCr,
    };
  }

  /** Reads up to the next LF; all between was looked through by native code. */
  #scanLine(chunk: Buffer, start: number): number {
    const lf = chunk.indexOf(LF, start);
    const end = lf === -1 ? chunk.length : lf;
    const crlf = end > start && chunk[end - 1] === CR;
    const content = crlf ? end - 1 : end;
    if (!this.#bareCr) this.#bareCr = hasCr(chunk, start, content);
    this.#line += content - start;
    if (lf === -1) {
      this.#afterCr = crlf;
      return end;
    }
    if (!crlf) this.#bareLf = true;
    this.#endLine();
    return lf + 1;
  }

  /** The last chunk ended in CR: it is good only if this one begins with LF. */
  #resolveCr(chunk: Buffer, start: number): number {
    this.#afterCr = false;
    if (chunk[start] === LF) {
      this.#endLine();
      return start + 1;
    }
    this.#bareCr = true;
    this.#line += 1;
    return start;
  }

  #endLine(): void {
    if (this.#line > this.#longest) this.#longest = this.#line;
    this.#line = 0;
  }
}

function hasCr(chunk: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (chunk[i] === CR) return true;
  return false;
}

/** The same check for a whole message. */
export function checkLineEndings(bytes: Buffer): LineEndings {
  const check = new LineEndingCheck();
  check.push(bytes);
  return check.result();
}

/** What we answer to such a message, or undefined when it is good. NUL first: it cannot be normalised away. */
export function wireRefusal(found: LineEndings, limits: { lineBytes: number }): Reply | undefined {
  if (found.nul) return REFUSALS.nulInMessage;
  if (found.bareCr || found.bareLf) return REFUSALS.bareLineEnding;
  return found.longestLine > limits.lineBytes ? REFUSALS.bodyLineTooLong : undefined;
}

/**
 * Bare CR and bare LF made CRLF, for trusted devices that know no better. Digest, approval and
 * delivery all see the result. Returns the same buffer when there was nothing to do; NUL stays
 * and is still refused.
 */
export function normalise(bytes: Buffer): Buffer {
  const { bareCr, bareLf } = checkLineEndings(bytes);
  if (!bareCr && !bareLf) return bytes;
  return Buffer.from(bytes.toString('latin1').replace(/\r\n|\r|\n/g, '\r\n'), 'latin1');
}
