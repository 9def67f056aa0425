import { createHash } from 'node:crypto';
import type { Actor } from '../mail/actor.ts';
import type { State } from '../mail/lifecycle.ts';
import type { Mode } from '../mail/mode.ts';

/** Bytes to be kept: exactly what will be sent or read later. */
export interface NewContent {
  id: string;
  sha256: Buffer;
  bytes: Buffer;
}

/** A message about to be stored. Addresses are canonical; the null reverse-path is `''`; `digest` is hex. */
export interface NewMessage {
  id: string;
  kind: 'mail' | 'dsn' | 'copy' | 'notice';
  direction: 'inbound' | 'outbound';
  source: 'submission' | 'trusted' | 'mx' | 'rest' | 'postern';
  state: Extract<State, 'received' | 'queued' | 'available'>;
  mailboxId: string;
  /** The principal who composed it, who may therefore not approve it. */
  composerId: string | null;
  /** For a DSN, copy or notice: the message it speaks of. */
  aboutId: string | null;
  reversePath: string;
  forwardPaths: string[];
  smtputf8: boolean;
  body8bit: boolean;
  contentId: string;
  size: number;
  digest: string;
  internetMessageId: string | null;
  subject: string;
  /** Facts of the header, as parsed once at the door (core/mail/facts.ts). */
  facts: object;
  tags: Record<string, string>;
  agent: string | null;
  requestedMode: Mode | null;
  effectiveMode: Mode | null;
  sendAt: Date | null;
  gateTiming: 'gate_first' | 'schedule_first' | null;
  /** The message that began the thread; left out for one that begins its own. */
  threadId?: string | null;
  /** Messages of ours that its header says it answers: it joins the thread of the first that the mailbox has. */
  answers?: string[] | null;
  actor: Actor;
}

/** How long a live row may stay unattended before the sweeper rings for it again. */
export const UNATTENDED = `interval '30 seconds'`;

/** The message as a row of the `json_to_recordset` that `insertMessages` reads. */
export function toRow(message: NewMessage): object {
  return {
    id: message.id,
    kind: message.kind,
    direction: message.direction,
    source: message.source,
    state: message.state,
    mailbox_id: message.mailboxId,
    composer_id: message.composerId,
    about_id: message.aboutId,
    reverse_path: message.reversePath,
    forward_paths: message.forwardPaths,
    smtputf8: message.smtputf8,
    body_8bit: message.body8bit,
    content_id: message.contentId,
    size: message.size,
    digest: message.digest,
    internet_message_id: message.internetMessageId,
    subject: message.subject,
    facts: message.facts,
    tags: message.tags,
    agent: message.agent,
    requested_mode: message.requestedMode,
    effective_mode: message.effectiveMode,
    send_at: message.sendAt,
    gate_timing: message.gateTiming,
    thread_id: message.threadId,
    answers: message.answers?.length ? message.answers : undefined,
    actor_type: message.actor.type,
    actor_id: message.actor.id,
    actor_name: message.actor.name,
    audit: acceptedMetadata(message),
  };
}

/** Looked up in the same statement, and only for mail that names one of our ids. */
const threadOf = (input: string) => `case when answers is null then thread_id else (
        select coalesce(a.thread_id, a.id) from unnest(answers) with ordinality as named(id, n)
          join messages a on a.id = named.id and a.mailbox_id = ${input}.mailbox_id and a.direction = 'outbound'
         order by named.n limit 1) end`;

/** The columns of `toRow`, for `json_to_recordset(…) as t(…)`. */
export const ROW_COLUMNS = `id text, kind text, direction text, source text, state text, mailbox_id text,
  composer_id text, about_id text, reverse_path text, forward_paths text[], smtputf8 boolean, body_8bit boolean,
  content_id text, size int, digest text, internet_message_id text, subject text, facts jsonb, tags jsonb,
  agent text, requested_mode text, effective_mode text, send_at timestamptz, gate_timing text, thread_id text,
  answers text[], actor_type text, actor_id text, actor_name text, audit jsonb`;

/**
 * CTEs that insert the rows of the CTE `input` (shaped as ROW_COLUMNS) with their recipients and their audit
 * rows; named after `prefix` so that a statement may hold them beside its own.
 */
export function insertMessages(input: string, prefix = 'new'): string {
  return `
  ${prefix}_messages as (
    insert into messages (id, kind, direction, source, state, mailbox_id, composer_id, about_id, reverse_path,
      forward_paths, smtputf8, body_8bit, content_id, size, digest, internet_message_id, subject, facts, tags, agent,
      requested_mode, effective_mode, released_by, send_at, gate_timing, thread_id, queued_at,
      wake_at)
    select id, kind, direction, source, state, mailbox_id, composer_id, about_id, reverse_path,
      forward_paths, smtputf8, body_8bit, content_id, size, decode(digest, 'hex'), internet_message_id, subject,
      facts, tags, agent, requested_mode, effective_mode, case when source = 'postern' then 'postern' end,
      send_at, gate_timing, ${threadOf(input)}, case when state = 'queued' then now() end,
      case when state <> 'available' then now() + ${UNATTENDED} end
      from ${input}
    returning id),
  ${prefix}_recipients as (
    insert into recipients (message_id, n, address)
    select id, path.n - 1, path.address
      from ${input}, unnest(forward_paths) with ordinality as path(address, n)
     where direction = 'outbound'),
  ${prefix}_audit as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      to_state, metadata)
    select 'message.accepted', 'message', id, mailbox_id, actor_type, actor_id, actor_name, state, audit
      from ${input})`;
}

/** What the audit keeps of a message beyond its row's life: who to whom, never text or subject. */
function acceptedMetadata(message: NewMessage): object {
  return {
    kind: message.kind,
    direction: message.direction,
    source: message.source,
    from: message.reversePath,
    to: message.forwardPaths,
    size: message.size,
    content_digest: message.digest,
    subject_hash: createHash('sha256').update(message.subject).digest('hex'),
    ...(message.internetMessageId !== null && { internet_message_id: message.internetMessageId }),
    ...(message.aboutId !== null && { about: message.aboutId }),
    ...(message.agent !== null && { agent: message.agent }),
    ...(message.requestedMode !== null && { requested_mode: message.requestedMode }),
    ...(message.sendAt !== null && { send_at: message.sendAt }),
    ...(Object.keys(message.tags).length > 0 && { tags: message.tags }),
  };
}
