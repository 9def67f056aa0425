import { REFUSALS, type Reply } from '../core/mail/reply.ts';

/** How much memory all messages that are arriving may take together. */
export interface Budget {
  /** False when there is no room for so many bytes more. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

export function budget(limit: number): Budget {
  let used = 0;
  return {
    take(bytes) {
      if (used + bytes > limit) return false;
      used += bytes;
      return true;
    },
    give(bytes) {
      used -= bytes;
    },
  };
}

/** So many pieces are made one: a client that sends byte by byte would make each cost a hundred. */
const PIECES = 1024;

/**
 * One message as it arrives. Once it is refused (too large, no memory) the rest is let pass and forgotten:
 * the reply has to wait for the final dot (RFC 5321 §4.1.1.4).
 */
export class Collector {
  readonly #maxBytes: number;
  readonly #budget: Budget;
  readonly #deadline: number;
  #chunks: Buffer[] = [];
  /** Pieces that came since some were last made one. */
  #loose = 0;
  #size = 0;
  #refusal: Reply | undefined;

  constructor(options: { maxBytes: number; seconds: number; budget: Budget }) {
    this.#maxBytes = options.maxBytes;
    this.#budget = options.budget;
    this.#deadline = performance.now() + options.seconds * 1000;
  }

  /** False when it takes too long: whoever sends a byte a second keeps a session for ever. */
  push(chunk: Buffer): boolean {
    if (performance.now() > this.#deadline) {
      this.#refuse(REFUSALS.idleTooLong);
      return false;
    }
    if (this.#refusal !== undefined) return true;
    if (this.#size + chunk.length > this.#maxBytes) this.#refuse(REFUSALS.messageTooLarge);
    else if (!this.#budget.take(chunk.length)) this.#refuse(REFUSALS.overloaded);
    else {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      this.#loose += 1;
      if (this.#loose === PIECES) this.#join();
    }
    return true;
  }

  #join(): void {
    this.#chunks.push(Buffer.concat(this.#chunks.splice(-PIECES)));
    this.#loose = 0;
  }

  /** The whole message, or why there is none. */
  finish(): { ok: true; raw: Buffer } | { ok: false; reply: Reply } {
    if (this.#refusal !== undefined) return { ok: false, reply: this.#refusal };
    return { ok: true, raw: this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks) };
  }

  /** Gives its memory back; called once, whatever became of the message. */
  release(): void {
    this.#budget.give(this.#size);
    this.#size = 0;
    this.#chunks = [];
  }

  #refuse(reply: Reply): void {
    this.#refusal = reply;
    this.release();
  }
}
