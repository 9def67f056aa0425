/**
 * The content of DATA, with the dots that transparency added taken away (RFC 5321 §4.5.2).
 *
 *         ┌───────────── other ◀──────┐ (the dot is dropped)
 *         ▼                           │
 *   ┌─▶ line ──CR──▶ cr ──LF──▶ start ┴─ "." ─▶ dot ──CR──▶ dotCr ──LF──▶ end
 *   │                 └ other ─▶ line            └ other ─▶ line  └ other ─▶ line
 *
 * Only CRLF.CRLF ends it, and only CRLF ends a line: a bare CR or LF stays in the content, where the
 * line ending check refuses it. The result does not depend on how the bytes were cut into chunks, and
 * a chunk of nothing but dots costs one copy.
 */
const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const CRLF_DOT = Buffer.from('\r\n.');

export interface Decoded {
  content: Buffer;
  /** What came behind the final CRLF.CRLF: commands again. Undefined while the content goes on. */
  rest: Buffer | undefined;
}

/** Decodes one DATA. */
export class DotDecoder {
  #state: 'line' | 'cr' | 'start' | 'dot' | 'dotCr' | 'end' = 'start';

  /** Takes the next bytes; none may follow once `rest` was given. */
  push(chunk: Buffer): Decoded {
    if (this.#state === 'end') throw new Error('the content of DATA has ended');
    if (this.#state === 'line' && !chunk.includes(CRLF_DOT)) {
      this.#state = stateBehind(chunk, 0);
      return { content: chunk, rest: undefined };
    }
    return this.#copy(chunk);
  }

  #copy(chunk: Buffer): Decoded {
    const out = Buffer.allocUnsafe(chunk.length + 1); // a CR that was kept back may be added
    let size = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'line') {
        const found = chunk.indexOf(CRLF_DOT, at);
        const end = found === -1 ? chunk.length : found + 2;
        size += chunk.copy(out, size, at, end);
        this.#state = found === -1 ? stateBehind(chunk, at) : 'dot';
        at = found === -1 ? end : end + 1;
        continue;
      }
      const byte = chunk[at]!;
      if (this.#state === 'dotCr') {
        if (byte === LF) return this.#end(out.subarray(0, size), chunk.subarray(at + 1));
        out[size++] = CR;
      }
      if (this.#state === 'cr' && byte === LF) out[size++] = LF;
      if (this.#advance(byte)) at++;
    }
    return { content: out.subarray(0, size), rest: undefined };
  }

  /** One step between lines; whether the byte was used up by it. */
  #advance(byte: number): boolean {
    const state = this.#state;
    if (state === 'cr' && byte === LF) this.#state = 'start';
    else if (state === 'start' && byte === DOT) this.#state = 'dot';
    else if (state === 'dot' && byte === CR) this.#state = 'dotCr';
    else {
      this.#state = 'line';
      return false;
    }
    return true;
  }

  #end(content: Buffer, rest: Buffer): Decoded {
    this.#state = 'end';
    return { content, rest };
  }
}

/** Where a chunk without CRLF-dot leaves us. Its bytes before `from` belong to something else. */
function stateBehind(chunk: Buffer, from: number): 'line' | 'cr' | 'start' {
  const last = chunk.length - 1;
  if (last < from) return 'line';
  if (chunk[last] === CR) return 'cr';
  return chunk[last] === LF && last > from && chunk[last - 1] === CR ? 'start' : 'line';
}
