/**
 * Sessions with one next hop, kept open from one message to the next.
 *
 *   use(work) ─▶ an idle session, or a new one while there are fewer than `size`, or the first that comes free
 *
 * Old, worn and idle sessions are closed; one timer looks at the clock for all of them.
 */
import { CannotOpen } from './smtp-open.ts';
import type { Session } from './smtp-session.ts';

export interface PoolOptions {
  open: () => Promise<Session>;
  size: number;
  messagesPerSession: number;
  idleMs?: number;
  oldMs?: number;
  tickMs?: number;
}

interface Waiting {
  resolve: (session: Session) => void;
  reject: (err: unknown) => void;
}

export class Pool {
  readonly #options: Required<PoolOptions>;
  readonly #all = new Set<Session>();
  readonly #idle: Session[] = [];
  #waiting: Waiting[] = [];
  #opening = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = { idleMs: 30_000, oldMs: 15 * 60_000, tickMs: 1000, ...options };
  }

  /** Sessions that are open. */
  get open(): number {
    return this.#all.size;
  }

  /** Runs `work` on a session of its own. Rejects with `CannotOpen` when none can be had. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#take();
    try {
      return await work(session);
    } finally {
      this.#giveBack(session);
    }
  }

  /** What is under way, and who waits already, may end within `withinMs`; then every session is closed. */
  async close(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs;
    while (this.#waiting.length + this.#all.size > this.#idle.length && performance.now() < until) {
      await new Promise((go) => setTimeout(go, 5));
    }
    this.#closed = true;
    const gone = new CannotOpen({ kind: 'unreachable', reason: 'Postern is shutting down' });
    for (const { reject } of this.#waiting.splice(0)) reject(gone);
    await Promise.all(this.#idle.splice(0).map((session) => session.quit()));
    for (const session of this.#all) session.destroy('Postern is shutting down');
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #take(): Promise<Session> {
    if (this.#closed) {
      return Promise.reject(new CannotOpen({ kind: 'unreachable', reason: 'Postern is shutting down' }));
    }
    for (let session = this.#idle.pop(); session !== undefined; session = this.#idle.pop()) {
      if (session.alive) return Promise.resolve(session);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#openMore();
    });
  }

  #openMore(): void {
    const room = this.#options.size - this.#all.size - this.#opening;
    const wanted = Math.min(room, this.#waiting.length - this.#opening);
    for (let i = 0; i < wanted; i++) void this.#openOne();
  }

  async #openOne(): Promise<void> {
    this.#opening += 1;
    try {
      const session = await this.#options.open();
      this.#all.add(session);
      session.onEnd(() => this.#forget(session));
      this.#timer ??= setInterval(() => this.#tick(), this.#options.tickMs).unref();
      this.#opening -= 1;
      this.#giveBack(session);
    } catch (err) {
      this.#opening -= 1;
      // A next hop that grants fewer sessions than we would like is no dead one: those who wait get the open ones.
      if (this.#all.size > 0) return;
      for (const { reject } of this.#waiting.splice(0)) reject(err);
    }
  }

  #giveBack(session: Session): void {
    const { messagesPerSession, oldMs } = this.#options;
    const worn = session.transactions >= messagesPerSession || performance.now() - session.opened > oldMs;
    if (session.alive && !worn && !this.#closed) {
      const next = this.#waiting.shift();
      if (next !== undefined) return next.resolve(session);
      this.#idle.push(session);
      return;
    }
    this.#all.delete(session);
    if (session.alive) void session.quit();
    this.#openMore();
  }

  #forget(session: Session): void {
    this.#all.delete(session);
    const at = this.#idle.indexOf(session);
    if (at !== -1) this.#idle.splice(at, 1);
    this.#openMore();
  }

  #tick(): void {
    const now = performance.now();
    for (const session of this.#all) session.checkDeadline(now);
    const rested = this.#idle.filter(({ idleSince }) => now - idleSince > this.#options.idleMs);
    for (const session of rested) {
      this.#idle.splice(this.#idle.indexOf(session), 1);
      this.#all.delete(session);
      void session.quit();
    }
    if (this.#all.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
