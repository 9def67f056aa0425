/** A delivery room with queued mail in front of it, and eyes on what becomes of it. */
import { system } from '../../core/mail/actor.ts';
import { contentSha256, messageDigest } from '../../core/mail/digest.ts';
import { newId } from '../../core/mail/id.ts';
import type { Room } from '../../core/runtime/runtime.ts';
import { accepting } from '../../core/store/accept.ts';
import { loseExpired } from '../../core/store/leases.ts';
import type { NewMessage } from '../../core/store/new-message.ts';
import { sweep } from '../../core/store/sweep.ts';
import { type DeliveryOptions, startDelivery } from '../../delivery/main.ts';
import { type TestRuntime, testRuntime } from './runtime.ts';

export interface QueuedMail extends Partial<NewMessage> {
  /** Everything after the header. */
  body?: string | Buffer;
  header?: string;
  /** How old it is. */
  hours?: number;
}

export interface Delivery extends Room {
  readonly runtime: TestRuntime;
  readonly mailboxId: string;
  /** Lines of the log, parsed. */
  readonly log: Record<string, unknown>[];
  mailbox(settings?: { address?: string; route?: string | null; mode?: string }): Promise<string>;
  /** Puts one message into the queue, without a bell. */
  queue(mail?: QueuedMail): Promise<string>;
  ring(...ids: string[]): void;
  /** What the sweeper does, once, after bringing every wake-up forward to now. */
  sweep(): Promise<void>;
  message(id: string): Promise<Row>;
  recipients(id: string): Promise<RecipientRow[]>;
  audit(id: string): Promise<{ action: string; from_state: string; to_state: string; metadata: Json }[]>;
  sql<R extends object = Json>(text: string, values?: unknown[]): Promise<R[]>;
  /** Waits until `probe` returns something. */
  until<T>(probe: () => Promise<T | undefined | false>, withinMs?: number): Promise<T>;
  /** Waits until the message is in this state. */
  reaches(id: string, state: string): Promise<Row>;
  /** Stops the room and starts another one on the same store. */
  restart(options?: DeliveryOptions): Promise<void>;
  stop(): Promise<void>;
}

type Json = Record<string, unknown>;
export type Row = Json & { id: string; state: string; dsn_owed: string | null; status_reason: string | null };
export interface RecipientRow {
  n: number;
  address: string;
  status: string;
  reply_code: number | null;
  reply_enhanced: string | null;
  reply_text: string | null;
  next_hop: string | null;
}

/** Short waits, so that silence is noticed within a test. */
export const HASTY: DeliveryOptions = {
  timeouts: {
    connect: 500,
    greeting: 500,
    command: 500,
    dataCommand: 500,
    dataBlock: 500,
    finalReply: 500,
    quit: 100,
  },
  refreshMs: 50,
};

export async function startTestDelivery(
  delivery: Json = {},
  options: DeliveryOptions = HASTY,
  { start = true, ...settings }: Json & { start?: boolean } = {},
): Promise<Delivery> {
  const log: Json[] = [];
  const runtime = await testRuntime(
    { delivery, ...settings },
    { log: { write: (line: string) => log.push(JSON.parse(line) as Json) } },
  );
  const { database } = runtime;
  const accept = accepting(database, runtime.contents);
  let room = start ? await startDelivery(runtime, options) : undefined;
  const sql = async <R extends object>(text: string, values: unknown[] = []) =>
    (await database.pool.query(text, values)).rows as R[];

  const test: Delivery = {
    runtime,
    log,
    mailboxId: newId(),
    sql,
    async mailbox({
      address = `box-${newId().toLowerCase()}@ours.example`,
      route = null,
      mode = 'autonomous',
    } = {}) {
      const id = newId();
      await sql(
        `insert into mailboxes (id, address, address_key, oversight_mode, route) values ($1, $2, lower($2), $3, $4)`,
        [id, address, mode, route],
      );
      return id;
    },
    async queue(mail = {}) {
      const arrival = arrivalOf(test.mailboxId, mail);
      await accept.add(arrival);
      const { id } = arrival.messages[0]!;
      if (mail.hours !== undefined) {
        await sql(
          `update messages set created_at = now() - make_interval(hours => $2),
           queued_at = now() - make_interval(hours => $2) where id = $1`,
          [id, mail.hours],
        );
      }
      return id;
    },
    ring: (...ids) => runtime.bells.ring('delivery', ids),
    async sweep() {
      await sql(`update messages set wake_at = now(), next_attempt_at = null where wake_at is not null`);
      await loseExpired(database);
      const due = await sweep(database.pool, 1000);
      runtime.bells.ring('delivery', due.delivery);
    },
    message: async (id) => (await sql<Row>('select * from messages where id = $1', [id]))[0]!,
    recipients: (id) => sql<RecipientRow>('select * from recipients where message_id = $1 order by n', [id]),
    audit: (id) => sql('select * from audit_events where resource_id = $1 order by seq', [id]),
    async until(probe, withinMs = 10_000) {
      const deadline = Date.now() + withinMs;
      for (;;) {
        const found = await probe();
        if (found !== undefined && found !== false) return found;
        if (Date.now() > deadline) throw new Error(`waited in vain; log: ${JSON.stringify(log.slice(-5))}`);
        await new Promise((go) => setTimeout(go, 10));
      }
    },
    reaches: (id, state) =>
      test.until(async () => {
        const row = await test.message(id);
        return row.state === state ? row : undefined;
      }),
    async restart(again = options) {
      await room?.close();
      room = await startDelivery(runtime, again);
    },
    async stop() {
      await room?.close();
      room = undefined;
    },
    async close() {
      await room?.close();
      await runtime.close();
    },
  };
  await sql(
    `insert into mailboxes (id, address, address_key, oversight_mode)
     values ($1, 'ana@ours.example', 'ana@ours.example', 'autonomous')`,
    [test.mailboxId],
  );
  return test;
}

function arrivalOf(mailboxId: string, { body, header, hours: _hours, ...given }: QueuedMail) {
  const id = newId();
  const head =
    header ??
    `From: ana@ours.example\r\nTo: bob@remote.example\r\nSubject: ${id}\r\nMessage-ID: <${id}@ours.example>\r\n`;
  const bytes = Buffer.concat([Buffer.from(`${head}\r\n`), Buffer.from(body ?? 'Hello.\r\n')]);
  const content = { id: newId(), sha256: contentSha256(bytes), bytes };
  const message: NewMessage = {
    id,
    kind: 'mail',
    direction: 'outbound',
    source: 'submission',
    state: 'queued',
    mailboxId,
    composerId: null,
    aboutId: null,
    reversePath: 'ana@ours.example',
    forwardPaths: ['bob@remote.example'],
    smtputf8: false,
    body8bit: false,
    contentId: content.id,
    size: bytes.length,
    digest: '',
    internetMessageId: `<${id}@ours.example>`,
    subject: id,
    facts: {},
    tags: {},
    agent: null,
    requestedMode: null,
    effectiveMode: 'autonomous',
    sendAt: null,
    gateTiming: null,
    actor: system('gateway'),
    ...given,
  };
  message.digest = messageDigest({ ...message, contentSha256: content.sha256 });
  return { content, messages: [message] };
}
