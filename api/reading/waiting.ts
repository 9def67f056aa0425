/**
 * Calls that wait for new mail.
 *
 *   notices of arrivals ─▶ those in mailboxes somebody waits for ─▶ one question for all of them ─▶ who it fits
 *
 * A wait costs an entry in a map: nothing asks the database again and again. A notice may be lost while the
 * connection is away, so each wait looks once more when we listen again, and before it gives up.
 */
import type { Runtime } from '../../core/runtime/runtime.ts';
import { onArrivals } from '../../core/store/arrivals.ts';
import { listNewMail, newestPlace, readNewMail } from '../../core/store/listing.ts';
import type { MessageFacts } from '../../core/store/messages.ts';

export interface Wanted {
  mailboxId: string;
  fits(message: MessageFacts): boolean;
  milliseconds: number;
  /** Ends the wait early: nobody is there to be told. */
  gone: AbortSignal;
}

export interface Waiting {
  /** New mail that fits, as soon as there is some; none when the time is over. */
  wait(wanted: Wanted): Promise<MessageFacts[]>;
  /** Ends all waits as if their time were over, and those that begin later at once. */
  close(): void;
}

type Ground = Pick<Runtime, 'database' | 'listening' | 'log'>;

interface Waiter extends Wanted {
  /** The newest mail when the wait began; undefined until that is known. */
  since: string | undefined;
  end(found: MessageFacts[]): void;
}

/** So many arrivals are asked for in one question. */
const AT_ONCE = 200;

export function openWaiting({ database, listening, log }: Ground): Waiting {
  const db = database.pool;
  const waiters = new Map<string, Set<Waiter>>();
  const arrived = new Set<string>();
  let asking = false;
  let listens = false;
  let closed = false;

  function listen(): void {
    if (listens) return;
    listens = true;
    onArrivals(listening, (all) => {
      for (const { mailboxId, id } of all) if (waiters.has(mailboxId)) arrived.add(id);
      if (arrived.size > 0 && !asking) void ask();
    });
    listening.onReconnect(() => void lookAgain([...waiters.values()].flatMap((some) => [...some])));
  }

  async function ask(): Promise<void> {
    asking = true;
    while (arrived.size > 0) {
      const ids = [...arrived].slice(0, AT_ONCE);
      for (const id of ids) arrived.delete(id);
      await readNewMail(db, ids).then(tell, failed);
    }
    asking = false;
  }

  function tell(messages: MessageFacts[]): void {
    for (const [mailboxId, some] of Map.groupBy(messages, (message) => message.mailboxId))
      for (const waiter of [...(waiters.get(mailboxId) ?? [])]) offer(waiter, some);
  }

  /** A notice may come late: what was there when the wait began is not new. */
  function offer(waiter: Waiter, messages: MessageFacts[]): void {
    if (waiter.since === undefined) return;
    const since = waiter.since;
    const found = messages.filter((message) => message.place > since && waiter.fits(message));
    if (found.length > 0) waiter.end(found);
  }

  /** What came since a wait began, whether we were told of it or not. */
  async function lookAgain(these: Waiter[]): Promise<void> {
    for (const [mailboxId, some] of Map.groupBy(these, (waiter) => waiter.mailboxId)) {
      const since = some.flatMap((waiter) => waiter.since ?? []).toSorted()[0];
      if (since === undefined) continue;
      await listNewMail(db, mailboxId, since).then((messages) => {
        for (const waiter of some) offer(waiter, messages);
      }, failed);
    }
  }

  function failed(err: unknown): void {
    log.warn({ err }, 'new mail cannot be looked for');
  }

  return {
    async wait(wanted) {
      if (closed) return [];
      listen();
      const { promise, resolve } = Promise.withResolvers<MessageFacts[]>();
      const own = waiters.get(wanted.mailboxId) ?? new Set();
      const waiter: Waiter = { ...wanted, since: undefined, end: resolve };
      waiters.set(wanted.mailboxId, own.add(waiter));
      const nobody = () => resolve([]);
      wanted.gone.addEventListener('abort', nobody, { once: true });
      const timer = setTimeout(() => {
        void lookAgain([waiter]).finally(nobody);
      }, wanted.milliseconds);
      try {
        waiter.since = await newestPlace(db, wanted.mailboxId);
        // what came while nobody told us yet, or before we knew what is new
        await Promise.race([listening.ready(), promise]);
        await lookAgain([waiter]);
        return await promise;
      } finally {
        clearTimeout(timer);
        wanted.gone.removeEventListener('abort', nobody);
        own.delete(waiter);
        if (own.size === 0) waiters.delete(wanted.mailboxId);
      }
    },
    close() {
      closed = true;
      for (const some of waiters.values()) for (const waiter of some) waiter.end([]);
    },
  };
}

const OPEN = new WeakMap<object, Waiting>();

/** The waits of this process. */
export function waitingOf(runtime: Ground): Waiting {
  const known = OPEN.get(runtime.listening);
  if (known !== undefined) return known;
  const opened = openWaiting(runtime);
  OPEN.set(runtime.listening, opened);
  return opened;
}
