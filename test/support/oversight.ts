/**
 * The store with what oversight needs: mailboxes, principals, mail at the door, and eyes on rows and audit.
 * Bells are only noted, so that a test rings when it wants to.
 */
import { system } from '../../core/mail/actor.ts';
import { contentSha256, messageDigest } from '../../core/mail/digest.ts';
import { readFacts } from '../../core/mail/facts.ts';
import { newId } from '../../core/mail/id.ts';
import { type State, stepsFrom } from '../../core/mail/lifecycle.ts';
import { createLog } from '../../core/runtime/log.ts';
import { createMetrics } from '../../core/runtime/metrics.ts';
import { openSigner } from '../../core/runtime/signer.ts';
import { accepting } from '../../core/store/accept.ts';
import { contentCache } from '../../core/store/contents.ts';
import { type Database, openDatabase } from '../../core/store/database.ts';
import { ruling } from '../../core/store/judging.ts';
import { openListening } from '../../core/store/listening.ts';
import type { NewMessage } from '../../core/store/new-message.ts';
import type { House } from '../../policy/review.ts';
import { judge } from '../../policy/worker.ts';
import { freshDatabase } from './database.ts';
import { testConfig } from './runtime.ts';

export interface MailboxSettings {
  address?: string;
  mode?: string;
  oversightAddress?: string | null;
  gateTiming?: string;
  holdExpiryHours?: number;
  isActive?: boolean;
}

export interface Mail extends Partial<NewMessage> {
  mailboxId: string;
  /** The header; the body is one line. */
  header?: string;
}

export interface Oversight {
  readonly house: House;
  readonly database: Database;
  /** What was rung for delivery since the last look. */
  rung(): string[];
  mailbox(settings?: MailboxSettings): Promise<string>;
  principal(options?: { kind?: string; ownerId?: string | null }): Promise<{ id: string; name: string }>;
  allow(mailboxId: string, pattern: string): Promise<void>;
  /** Commits one message as the door does. */
  accept(mail: Mail): Promise<string>;
  /** Rings policy for these ids and waits for the verdicts. */
  judge(...ids: string[]): Promise<void>;
  message(id: string): Promise<Row>;
  hold(id: string): Promise<{ reasons: string[]; expires_at: Date } | undefined>;
  audit(
    id: string,
  ): Promise<{ action: string; from_state: State | null; to_state: State | null; metadata: object }[]>;
  /** Any statement, for what a test does behind our back. */
  sql<R extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<R[]>;
  close(): Promise<void>;
}

export interface Row {
  id: string;
  state: State;
  kind: string;
  direction: string;
  mailbox_id: string;
  effective_mode: string | null;
  released_by: string | null;
  status_reason: string | null;
  dsn_owed: string | null;
  wake_at: Date | null;
  content_id: string;
  forward_paths: string[];
  reverse_path: string;
  digest: Buffer;
}

export async function openOversight(settings: Record<string, unknown> = {}): Promise<Oversight> {
  const fresh = await freshDatabase();
  const database = openDatabase({ url: fresh.url, poolSize: 8 });
  let noted: string[] = [];
  const bells = {
    ring(queue: string, ids: readonly string[]) {
      if (queue === 'delivery') noted.push(...ids);
    },
  } as unknown as House['bells'];
  const log = createLog({ level: 'fatal' });
  const listening = openListening(fresh.url, log);
  const signer = openSigner(database, listening);
  const config = testConfig(settings);
  const house: House = { config, database, bells, log, metrics: createMetrics(), signer };
  const door = accepting(database, contentCache());
  const judging = judge(house, ruling(database));
  const sql = async <R extends object>(text: string, values: unknown[] = []) =>
    (await database.pool.query(text, values)).rows as R[];

  return {
    house,
    database,
    sql,
    rung() {
      const ids = noted;
      noted = [];
      return ids;
    },
    async mailbox(settings = {}) {
      const id = newId();
      const address = settings.address ?? `box-${id.toLowerCase()}@ours.example`;
      await sql(
        `insert into mailboxes (id, address, address_key, oversight_mode, oversight_address, gate_timing,
           hold_expiry_hours, is_active) values ($1, $2, lower($2), $3, $4, $5, $6, $7)`,
        [
          id,
          address,
          settings.mode ?? 'gated_send',
          settings.oversightAddress ?? null,
          settings.gateTiming ?? 'gate_first',
          settings.holdExpiryHours ?? 168,
          settings.isActive ?? true,
        ],
      );
      return id;
    },
    async principal({ kind = 'user', ownerId = null } = {}) {
      const id = newId();
      const name = `principal ${id}`;
      await sql('insert into principals (id, kind, name, owner_id) values ($1, $2, $3, $4)', [
        id,
        kind,
        name,
        ownerId,
      ]);
      return { id, name };
    },
    async allow(mailboxId, pattern) {
      await sql('insert into allowlist_entries (id, mailbox_id, pattern) values ($1, $2, $3)', [
        newId(),
        mailboxId,
        pattern,
      ]);
    },
    async accept(mail) {
      const arrival = arrivalOf(mail);
      await door.add(arrival);
      return arrival.messages[0]!.id;
    },
    async judge(...ids) {
      judging.take(ids);
      await judging.drain();
    },
    async message(id) {
      return (await sql<Row>('select * from messages where id = $1', [id]))[0]!;
    },
    async hold(id) {
      const text = 'select reasons, expires_at from holds where message_id = $1 and closed_at is null';
      return (await sql<{ reasons: string[]; expires_at: Date }>(text, [id]))[0];
    },
    audit: (id) => sql('select * from audit_events where resource_id = $1 order by seq', [id]),
    async close() {
      const strange = await unlawfulSteps(sql);
      await listening.close();
      await database.close();
      await fresh.drop();
      if (strange.length > 0)
        throw new Error(`the audit has steps that the lifecycle does not: ${strange.join(', ')}`);
    },
  };
}

/** Every step that was ever audited has to be one of the lifecycle, whatever else a test looked at. */
async function unlawfulSteps(sql: Oversight['sql']): Promise<string[]> {
  const seen = await sql<{ from: State; to: State }>(
    `select distinct from_state as from, to_state as to from audit_events where from_state is not null`,
  );
  return seen
    .filter(({ from, to }) => !Object.values(stepsFrom(from)).includes(to))
    .map(({ from, to }) => `${from} -> ${to}`);
}

/** Outbound mail from `agent@ours.example` to one stranger, except for what is said otherwise. */
export function arrivalOf(mail: Mail) {
  const { header, ...given } = mail;
  const forwardPaths = given.forwardPaths ?? ['ana@remote.example'];
  const reversePath = given.reversePath ?? 'agent@ours.example';
  const text =
    header ?? `From: <agent@ours.example>\r\nTo: <${forwardPaths.join('>, <')}>\r\nSubject: Hello\r\n`;
  const contentId = newId();
  const bytes = Buffer.from(`${text}\r\nNumber ${contentId} is done.\r\n`);
  const sha256 = contentSha256(bytes);
  const content = { id: contentId, sha256, bytes };
  const message: NewMessage = {
    id: newId(),
    kind: 'mail',
    direction: 'outbound',
    source: 'submission',
    state: 'received',
    composerId: null,
    aboutId: null,
    reversePath,
    forwardPaths,
    smtputf8: false,
    body8bit: false,
    contentId: content.id,
    size: bytes.length,
    digest: messageDigest({ reversePath, forwardPaths, contentSha256: sha256 }),
    internetMessageId: `<${content.id}@ours.example>`,
    subject: 'Hello',
    facts: readFacts(bytes, { hostname: 'mx.ours.example' }),
    tags: {},
    agent: null,
    requestedMode: null,
    effectiveMode: null,
    sendAt: null,
    gateTiming: null,
    actor: system('gateway'),
    ...given,
  };
  return { content, messages: [message] };
}
