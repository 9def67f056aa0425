import { createTransport } from 'nodemailer';
import pg from 'pg';
import { system } from '../../core/mail/actor.ts';
import { createKey, type Scope } from '../../core/store/keys.ts';
import { freshDatabase } from '../support/database.ts';
import { type PosternProcess, type RoomName, startPosternProcess } from '../support/postern-process.ts';
import { type Sink, startSink } from './sink.ts';

/** A whole house of real processes around one database and one sink, each of which may be killed. */
export interface House {
  readonly sink: Sink;
  readonly databaseUrl: string;
  /** Starts a room as a process of its own; `database` leads it through a proxy. */
  start(room: RoomName, options?: { database?: string; config?: object }): Promise<PosternProcess>;
  /** Submits by a real SMTP client to the trusted listener. Resolves to the id in the 250. */
  submit(
    gateway: PosternProcess,
    name: string,
    options?: { bytes?: number; to?: string[]; from?: string | undefined },
  ): Promise<string>;
  query<R extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<R[]>;
  states(): Promise<Record<string, number>>;
  /** Lets time pass for the sweeper: every pending wake-up is due now. */
  hurry(): Promise<void>;
  /** Waits until `question` is true, hurrying the sweeper along where asked to. */
  until(
    what: string,
    question: () => Promise<boolean> | boolean,
    options?: { hurry?: boolean; seconds?: number },
  ): Promise<void>;
  adminKey(): Promise<string>;
  reviewerKey(): Promise<string>;
  close(): Promise<void>;
}

export const MAILBOX = 'sender@chaos.example';
/** A second mailbox, whose mail needs approval; its network is another loopback address. */
export const GATED_FROM = 'gated@chaos.example';

export async function openHouse(
  options: { redis?: string; mode?: string; databaseUrl?: string; inDoubt?: string } = {},
): Promise<House> {
  const database = options.databaseUrl === undefined ? await freshDatabase() : undefined;
  const databaseUrl = options.databaseUrl ?? database!.url;
  const sink = await startSink();
  const started: PosternProcess[] = [];
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 3 });
  pool.on('error', () => {});

  function config(url: string, extra: object = {}): object {
    const closed = { enabled: false };
    const network = (name: string, cidr: string, mailbox: string) => ({ name, cidrs: [cidr], mailbox });
    return {
      hostname: 'chaos.localhost',
      database: { url },
      ...(options.redis !== undefined && { queue: { url: options.redis } }),
      http: { port: 0 },
      submission: closed,
      mx: closed,
      trusted: {
        enabled: true,
        port: 0,
        networks: [network('plain', '127.0.0.1/32', MAILBOX), network('gated', '127.0.0.2/32', GATED_FROM)],
      },
      mailboxes: [
        { address: MAILBOX, oversight_mode: options.mode ?? 'monitored' },
        { address: GATED_FROM, oversight_mode: 'gated_send' },
      ],
      smarthost: { host: '127.0.0.1', port: sink.port, tls: 'none' },
      delivery: {
        lease_seconds: 3,
        in_doubt: options.inDoubt ?? 'ask',
        retry: { first_seconds: 1, factor: 1, max_seconds: 1, jitter: 0 },
      },
      ...extra,
    };
  }

  async function key(name: string, scope: Scope): Promise<string> {
    const principal = { kind: 'user' as const, name };
    return (await createKey(pool, { name, scopes: [scope], principal }, 'test', system('cli'))).apiKey;
  }

  /** What a test that waited in vain wants to know. */
  async function live(): Promise<string> {
    const rows = await house.query(
      `select id, kind, state, status_reason, dsn_owed, wake_at, attempts
         from messages where wake_at is not null limit 5`,
    );
    return `${JSON.stringify(await house.states())}, live: ${JSON.stringify(rows)}`;
  }

  const house: House = {
    sink,
    databaseUrl,
    async start(room, { database: url = databaseUrl, config: extra } = {}) {
      const process = await startPosternProcess([room], config(url, extra));
      started.push(process);
      return process;
    },
    async submit(gateway, name, { bytes = 1000, to = ['rcpt@remote.example'], from = MAILBOX } = {}) {
      const transport = createTransport({
        host: '127.0.0.1',
        port: gateway.bound.trusted!,
        ignoreTLS: true,
        localAddress: from === GATED_FROM ? '127.0.0.2' : '127.0.0.1',
        secure: false,
      });
      try {
        const { response } = await transport.sendMail({
          envelope: { from, to },
          raw: message(name, from, bytes),
        });
        const id = /Queued as ([0-9A-Z]{26})/.exec(response)?.[1];
        if (id === undefined) throw new Error(`no id in ${response}`);
        return id;
      } finally {
        transport.close();
      }
    },
    async query<R extends pg.QueryResultRow>(sql: string, values?: unknown[]) {
      return (await pool.query<R>(sql, values)).rows;
    },
    async states() {
      const rows = await house.query<{ state: string; count: number }>(
        `select state, count(*)::int as count from messages where kind = 'mail' group by state`,
      );
      return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
    },
    async hurry() {
      await house.query(`update messages set wake_at = now() where wake_at > now() and state <> 'held'`);
    },
    async until(what, question, { hurry = false, seconds = 30 } = {}) {
      const end = Date.now() + seconds * 1000;
      while (!(await question())) {
        if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s; ${await live()}`);
        // the database may be on its way back: then it is asked again
        if (hurry) await house.hurry().catch(() => {});
        await new Promise((done) => setTimeout(done, 100));
      }
    },
    adminKey: () => key('admin', 'admin'),
    reviewerKey: () => key('reviewer', 'oversight'),
    async close() {
      await Promise.all(started.map((process) => process.kill()));
      await sink.close();
      await pool.end();
      await database?.drop();
    },
  };
  return house;
}

function message(name: string, from: string, bytes: number): string {
  const filler = `${'x'.repeat(70)}\r\n`.repeat(Math.ceil(bytes / 72));
  return `From: <${from}>\r\nTo: <rcpt@remote.example>\r\nSubject: ${name}\r\nX-Test-Name: ${name}\r\n\r\n${filler}`;
}
