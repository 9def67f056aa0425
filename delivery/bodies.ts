/** Brings the bytes of what was claimed: from this process's memory, or from the store, never too many at once. */
import type { Runtime } from '../core/runtime/runtime.ts';
import type { Claim } from '../core/store/claiming.ts';
import { readContents, readLargeContent } from '../core/store/contents.ts';

const SMALL = 256 * 1024;
const LARGE_AT_ONCE = 64 << 20;

/** A body to be had when its turn comes. Undefined: there is no such content. `done` gives its memory back. */
export interface Body {
  bytes(): Promise<Buffer | undefined>;
  done(): void;
}

export class Bodies {
  readonly #runtime: Pick<Runtime, 'contents' | 'database'>;
  readonly #budget = new Budget(LARGE_AT_ONCE);

  constructor(runtime: Pick<Runtime, 'contents' | 'database'>) {
    this.#runtime = runtime;
  }

  /** By message id. The small ones that memory lacks come in one query; large ones when asked for. */
  of(claims: readonly Claim[]): Map<string, Body> {
    const bodies = new Map<string, Body>();
    const near = new Map<string, Buffer>();
    const missing = new Set<string>();
    let read: Promise<Map<string, Buffer>> | undefined;
    for (const { id, contentId, size } of claims) {
      const bytes = near.get(contentId) ?? this.#runtime.contents.take(contentId);
      if (bytes !== undefined) {
        near.set(contentId, bytes);
        bodies.set(id, { bytes: async () => bytes, done() {} });
      } else if (size > SMALL) bodies.set(id, this.#large(contentId, size));
      else {
        missing.add(contentId);
        bodies.set(id, { bytes: async () => (await read)?.get(contentId), done() {} });
      }
    }
    if (missing.size > 0) {
      read = readContents(this.#runtime.database.pool, [...missing]);
      read.catch(() => {}); // each who waits for it hears of it
    }
    return bodies;
  }

  #large(contentId: string, size: number): Body {
    let held = false;
    return {
      bytes: async () => {
        await this.#budget.take(size);
        held = true;
        return readLargeContent(this.#runtime.database.pool, contentId, size);
      },
      done: () => {
        if (held) this.#budget.giveBack(size);
        held = false;
      },
    };
  }
}

/** So many bytes may be out at once; whoever comes later waits in order. One that exceeds all goes alone. */
class Budget {
  readonly #total: number;
  #out = 0;
  readonly #waiting: { size: number; go: () => void }[] = [];

  constructor(total: number) {
    this.#total = total;
  }

  take(size: number): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ size, go });
      this.#next();
    });
  }

  giveBack(size: number): void {
    this.#out -= size;
    this.#next();
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#out > 0 && this.#out + first.size > this.#total) return;
      this.#waiting.shift();
      this.#out += first.size;
      first.go();
    }
  }
}
