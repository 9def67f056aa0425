/**
 * The door of mail that programs compose: group commit as in accept.ts, with whatever could make it a repetition.
 *
 *   key free? ─▶ content not sent a moment ago? ─▶ bytes, message, recipients, draft, audit        one statement
 *      └ no            └ no ─────────────────────▶ nothing; what is in the way is read and told
 *
 * Key, claim and message are written together or not at all, so no crash can separate them.
 */
import { type Batcher, batcher } from './batcher.ts';
import { type ContentCache, insertContents, packContents } from './contents.ts';
import type { Database } from './database.ts';
import { insertMessages, type NewContent, type NewMessage, ROW_COLUMNS, toRow } from './new-message.ts';

/** Everything that one send or reply writes. */
export interface Sending {
  content: NewContent;
  message: NewMessage;
  draft: object;
  /** The name the caller gave its request, and SHA-256 of what was asked. */
  key: { operation: string; key: string; requestSha256: Buffer } | null;
  /** SHA-256 of what makes two messages the same; null where repetitions are not looked for. */
  fingerprint: Buffer | null;
  /** For so long the same content counts as the same message. */
  windowSeconds: number;
  /** Modes to be audited when a looser one was asked for than the mailbox has. */
  floor: { requested: string; effective: string } | null;
}

/** What became of it: written; or another message stands in its place; or that cannot be known yet. */
export type Sent =
  | { as: 'accepted' }
  | { as: 'repeated'; messageId: string; same: boolean }
  | { as: 'duplicate'; messageId: string }
  | { as: 'in_flight' };

const COLUMNS = `${ROW_COLUMNS}, draft jsonb, operation text, key text, request_sha256 text, fingerprint text,
  window_seconds int, floor jsonb`;

// In one order for everybody, so that two processes with the same keys wait for each other and do not deadlock. Of
// two at the same time the second waits until the first has committed or not.
const SEND = `with input as (select * from json_to_recordset($1::json) as t(${COLUMNS})),
  keyed as (
    insert into idempotency_keys as k (mailbox_id, operation, key, message_id, request_sha256)
    select mailbox_id, operation, key, id, decode(request_sha256, 'hex')
      from input where key is not null order by mailbox_id, operation, key
    on conflict (mailbox_id, operation, key) do update
      set message_id = excluded.message_id, request_sha256 = excluded.request_sha256, created_at = now()
      where k.created_at < now() - interval '24 hours'
    returning message_id),
  fresh as (select * from input where key is null or id in (select message_id from keyed)),
  claimed as (
    insert into recent_sends as r (mailbox_id, fingerprint, message_id)
    select mailbox_id, decode(fingerprint, 'hex'), id
      from fresh where fingerprint is not null order by mailbox_id, fingerprint
    on conflict (mailbox_id, fingerprint) do update set message_id = excluded.message_id, created_at = now()
      where exists (
        select 1 from input i
         where i.id = excluded.message_id
           -- who names the request has said that it is another one
           and (i.key is not null or r.created_at < now() - make_interval(secs => i.window_seconds)
             or exists (select 1 from messages m
                         where m.id = r.message_id and m.state in ('cancelled', 'rejected', 'expired', 'failed'))))
    returning message_id),
  admitted as (select * from fresh where fingerprint is null or id in (select message_id from claimed)),
  ${insertContents('$2', '$3', 'id in (select content_id from admitted)')},
  ${insertMessages('admitted')},
  drafts as (insert into compositions (message_id, draft) select id, draft from admitted),
  floors as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
    select 'mode_floor_applied', 'message', id, mailbox_id, actor_type, actor_id, actor_name, floor
      from admitted where floor is not null)
  select id from admitted`;

const IN_THE_WAY = `select i.id, k.message_id as "keyMessageId", k.request_sha256 = decode(i.request_sha256, 'hex') as same,
    r.message_id as "sentMessageId"
  from json_to_recordset($1::json) as i(id text, mailbox_id text, operation text, key text, request_sha256 text,
    fingerprint text)
  left join idempotency_keys k on k.mailbox_id = i.mailbox_id and k.operation = i.operation and k.key = i.key
  left join recent_sends r on r.mailbox_id = i.mailbox_id and r.fingerprint = decode(i.fingerprint, 'hex')`;

/** Longer than this nobody is kept waiting for another who has the same key. */
const PATIENCE = '1s';

/** The batch of one process. What it resolves as `accepted` is on disk (RFC 5321 §6.1, and api 0.6). */
export function sending(
  database: Database,
  cache: ContentCache,
  onFlush?: (n: number) => void,
): Batcher<Sending, Sent> {
  const lane = database.lane('send', { lockTimeout: PATIENCE });

  async function run(sendings: Sending[]): Promise<Sent[]> {
    const [first, again] = apart(sendings);
    const outcomes = await patiently(first);
    // Whoever has the same name as another of this batch comes after it, and meets what it left.
    const later = again.length > 0 ? await run(again) : [];
    const all = new Map([...zip(first, outcomes), ...zip(again, later)]);
    return sendings.map((one) => all.get(one)!);
  }

  /** One that has to wait for another process must not keep its neighbours: then each goes alone. */
  async function patiently(sendings: Sending[]): Promise<Sent[]> {
    try {
      return await insert(sendings);
    } catch (err) {
      if ((err as { code?: unknown }).code !== '55P03') throw err;
      if (sendings.length === 1) return [{ as: 'in_flight' }];
      const each: Sent[] = [];
      for (const one of sendings) each.push(...(await patiently([one])));
      return each;
    }
  }

  async function insert(sendings: Sending[]): Promise<Sent[]> {
    const [index, bytes] = packContents(sendings.map(({ content }) => content));
    const { rows } = await lane.query<{ id: string }>({
      name: 'send',
      text: SEND,
      values: [JSON.stringify(sendings.map(rowOf)), index, bytes],
    });
    const admitted = new Set(rows.map(({ id }) => id));
    for (const { content, message } of sendings)
      if (admitted.has(message.id)) cache.put(content.id, content.bytes);
    const stopped = sendings.filter(({ message }) => !admitted.has(message.id));
    const found = stopped.length > 0 ? await inTheWay(stopped) : new Map<string, Sent>();
    return sendings.map(({ message }) => found.get(message.id) ?? { as: 'accepted' });
  }

  async function inTheWay(sendings: Sending[]): Promise<Map<string, Sent>> {
    const { rows } = await lane.query<{
      id: string;
      keyMessageId: string | null;
      same: boolean | null;
      sentMessageId: string | null;
    }>({ name: 'in-the-way', text: IN_THE_WAY, values: [JSON.stringify(sendings.map(namesOf))] });
    return new Map(
      rows.map(({ id, keyMessageId, same, sentMessageId }): [string, Sent] => {
        if (keyMessageId !== null)
          return [id, { as: 'repeated', messageId: keyMessageId, same: same === true }];
        // Neither: it was in the way, and has been forgotten since. Nothing was written; asking again will do.
        if (sentMessageId === null) return [id, { as: 'in_flight' }];
        return [id, { as: 'duplicate', messageId: sentMessageId }];
      }),
    );
  }

  return batcher<Sending, Sent>({
    max: 200,
    weigh: ({ content }) => content.bytes.length,
    ...(onFlush && { onFlush }),
    run,
  });
}

/** One statement cannot meet its own rows, so of those with the same key or content only the first goes. */
function apart(sendings: Sending[]): [Sending[], Sending[]] {
  const seen = new Set<string>();
  const first: Sending[] = [];
  const again: Sending[] = [];
  for (const one of sendings) {
    const { operation, key, fingerprint, mailbox_id } = namesOf(one);
    const names = [
      ...(key === undefined ? [] : [`key ${mailbox_id} ${operation} ${key}`]),
      ...(fingerprint === undefined ? [] : [`content ${mailbox_id} ${fingerprint}`]),
    ];
    if (names.some((name) => seen.has(name))) again.push(one);
    else first.push(one);
    for (const name of names) seen.add(name);
  }
  return [first, again];
}

function zip(sendings: Sending[], outcomes: Sent[]): [Sending, Sent][] {
  return sendings.map((one, i) => [one, outcomes[i]!]);
}

function namesOf({ message, key, fingerprint }: Sending) {
  return {
    id: message.id,
    mailbox_id: message.mailboxId,
    operation: key?.operation,
    key: key?.key,
    request_sha256: key?.requestSha256.toString('hex'),
    fingerprint: fingerprint?.toString('hex'),
  };
}

function rowOf(one: Sending): object {
  return {
    ...toRow(one.message),
    ...namesOf(one),
    draft: one.draft,
    window_seconds: one.windowSeconds,
    floor:
      one.floor === null
        ? undefined
        : { requested_mode: one.floor.requested, effective_mode: one.floor.effective },
  };
}
