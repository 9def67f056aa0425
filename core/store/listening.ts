/**
 * What processes tell each other in passing: NOTIFY of PostgreSQL, heard on one connection per process.
 *
 *   insert … ; pg_notify(channel, text) ──commit──▶ LISTEN (each process) ──▶ the handlers of that channel
 *
 * A notice may be lost while the connection is away, so nothing may depend on it alone: who listens reads again
 * what it keeps in `onReconnect`, and is told at most a moment late. No connection is made before somebody listens.
 */
import pg from 'pg';
import type { Db } from './database.ts';
import type { Lane } from './lane.ts';

export interface Listening {
  /** From now on `handler` gets the text of each notice on the channel. Returns how to stop. */
  on(channel: string, handler: (payload: string) => void): () => void;
  /**
   * Called each time we have begun to listen, the first time too: what was told before may have been missed. Who asks
   * when we listen already is called as soon as everything asked for so far is being listened to.
   */
  onReconnect(handler: () => void): () => void;
  /** Resolves when everything asked for so far is being listened to; never while the database is away. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

interface Log {
  warn(fields: object, text: string): void;
}

const PAUSE_MS = 1_000;
const CHANNEL = /^[a-z_]{1,63}$/;

export function openListening(url: string, log: Log): Listening {
  const handlers = new Map<string, Set<(payload: string) => void>>();
  const onReconnect = new Set<() => void>();
  const waiting: (() => void)[] = [];
  let client: pg.Client | undefined;
  let listening: Promise<void> | undefined;
  let retry: NodeJS.Timeout | undefined;
  let closed = false;
  /** Who waits to begin has been told that this connection has. */
  let begun = false;
  let saying: Promise<unknown> = Promise.resolve();
  let unsaid = 0;

  /** Statements of one connection run one after the other; each is sent when the one before it is done. */
  function say(open: pg.Client, statement: string): Promise<unknown> {
    unsaid += 1;
    saying = saying
      .catch(() => {})
      .then(() => open.query(statement))
      .finally(() => {
        unsaid -= 1;
      });
    return saying;
  }

  /** Runs every handler; one that fails keeps nothing from the others. */
  function tell(these: Iterable<(payload: string) => void>, payload: string): void {
    for (const handler of [...these]) {
      try {
        handler(payload);
      } catch (err) {
        log.warn({ err }, 'who listens to the database failed');
      }
    }
  }

  async function connect(): Promise<void> {
    const fresh = new pg.Client({
      connectionString: url,
      application_name: 'postern listening',
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    });
    const gone = () => {
      if (client !== fresh) return;
      client = undefined;
      begun = false;
      again();
    };
    fresh.on('error', gone);
    fresh.on('end', gone);
    fresh.on('notification', ({ channel, payload }) => tell(handlers.get(channel) ?? [], payload ?? ''));
    await fresh.connect();
    if (closed) return fresh.end();
    client = fresh;
    saying = Promise.resolve();
    const channels = [...handlers.keys()];
    if (channels.length > 0) await say(fresh, channels.map(listenTo).join('; '));
    if (client !== fresh) return;
    begun = true;
    tell(onReconnect, '');
    if (client !== fresh) return;
    for (const go of waiting.splice(0)) go();
  }

  function again(): void {
    if (closed || retry !== undefined) return;
    retry = setTimeout(() => {
      retry = undefined;
      listening = undefined;
      begin();
    }, PAUSE_MS).unref();
  }

  function begin(): void {
    if (closed || listening !== undefined) return;
    listening = connect().catch((err: unknown) => {
      log.warn({ err }, 'the database cannot be listened to');
      const broken = client;
      client = undefined;
      begun = false;
      broken?.end().catch(() => {});
      again();
    });
  }

  return {
    on(channel, handler) {
      if (!CHANNEL.test(channel)) throw new Error(`${channel} is no name of a channel`);
      const known = handlers.get(channel);
      const mine = (payload: string) => handler(payload);
      if (known !== undefined) known.add(mine);
      else {
        handlers.set(channel, new Set([mine]));
        // What is not heard on a connection that breaks just now is heard on the next one.
        if (client !== undefined) say(client, listenTo(channel)).catch(() => {});
      }
      begin();
      return () => handlers.get(channel)?.delete(mine);
    },
    onReconnect(handler) {
      onReconnect.add(handler);
      if (client !== undefined && begun)
        say(client, 'select 1').then(
          () => onReconnect.has(handler) && tell([handler], ''),
          () => {},
        );
      return () => onReconnect.delete(handler);
    },
    async ready() {
      begin();
      if (client === undefined) await new Promise<void>((go) => waiting.push(go));
      // Statements of one connection run in order, so every LISTEN before this one has been obeyed.
      if (client !== undefined && (unsaid > 0 || !begun)) await say(client, 'select 1');
    },
    async close() {
      closed = true;
      clearTimeout(retry);
      const open = client;
      client = undefined;
      for (const go of waiting.splice(0)) go();
      await open?.end();
      await listening?.catch(() => {});
    },
  };
}

function listenTo(channel: string): string {
  return `listen "${channel}"`;
}

/** Tells every process that listens, once the transaction of `db` is committed. `text` is short and holds no secret. */
export async function tellProcesses(db: Db | Lane, channel: string, text: string): Promise<void> {
  await db.query({ text: 'select pg_notify($1, $2)', values: [channel, text] });
}
