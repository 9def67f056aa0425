/** A year of mail, written straight into the store: what lists and the audit log are read from in a benchmark. */
import type { Pool } from 'pg';

export interface Archive {
  mailboxId: string;
  principalId: string;
  messages: number;
}

/** Ids as a ULID would be made at that moment: 10 characters of time, 16 that number the message. */
const ID = `ulid_at(i)`;

const HELPERS = `
create temp table began as select now() - interval '365 days' as at;
create function pg_temp.ulid_at(i int) returns text language sql stable as $$
  select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((ms >> (5 * (9 - d))) & 31)::int + 1, 1), '' order by d)
      || lpad(upper(to_hex(i)), 16, '0')
    from (select (extract(epoch from at) * 1000)::bigint + i::bigint * 300000 as ms from began) t,
         generate_series(0, 9) d
$$`;

/**
 * Half inbound and mostly read, half outbound and sent; every tenth tagged with one of a thousand incidents, every
 * second with "deploy". Four audit events a message, as the pipeline writes them.
 */
export async function fillArchive(pool: Pool, { mailboxId, principalId, messages }: Archive): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query(HELPERS);
    for (let from = 0; from < messages; from += 10_000)
      for (const statement of [CONTENTS, MESSAGES, RECIPIENTS, AUDIT])
        await client.query(statement.replaceAll('ulid_at', 'pg_temp.ulid_at'), [
          from,
          Math.min(messages, from + 10_000) - 1,
          ...(statement === MESSAGES || statement === AUDIT ? [mailboxId] : []),
          ...(statement === MESSAGES ? [principalId] : []),
        ]);
    await client.query('vacuum analyze');
  } finally {
    client.release(true); // its temporary things end with it
  }
}

const BODY = `convert_to(E'From: a@bench.example\\r\\nSubject: archive\\r\\n\\r\\n' || repeat(md5(i::text) || E'\\r\\n', 30), 'utf8')`;
const CONTENTS = `insert into contents (id, sha256, size, bytes)
  select ${ID}, sha256(body), length(body), body from generate_series($1::int, $2::int) i, lateral (select ${BODY} as body) b`;

const MESSAGES = `insert into messages (id, kind, direction, source, state, mailbox_id, composer_id, reverse_path,
    forward_paths, content_id, size, digest, internet_message_id, subject, facts, tags, agent, effective_mode,
    inbox_status, created_at)
  select ${ID}, 'mail', case when i % 2 = 0 then 'inbound' else 'outbound' end,
    case when i % 2 = 0 then 'mx' else 'rest' end, case when i % 2 = 0 then 'available' else 'relayed' end, $3,
    case when i % 2 = 1 then $4 end, 'sender' || i % 500 || '@host' || i % 50 || '.example',
    array['rcpt' || i % 1000 || '@bench.example'], ${ID}, 1100, sha256(i::text::bytea),
    '<' || i || '@bench.example>', 'Report ' || i || ' of service ' || i % 97,
    jsonb_build_object('from', jsonb_build_array(jsonb_build_object('name', '', 'address', 'sender' || i % 500 || '@host.example')),
      'to', jsonb_build_array(jsonb_build_object('name', '', 'address', 'rcpt@bench.example')), 'cc', '[]'::jsonb,
      'subject', 'Report ' || i, 'attachments', '[]'::jsonb, 'texts', '[]'::jsonb),
    case when i % 10 = 0 then jsonb_build_object('incident-' || (i / 10) % 1000, 'true', 'deploy', 'true')
         when i % 2 = 0 then jsonb_build_object('deploy', 'true') else '{}' end,
    case when i % 2 = 1 then 'reporter' end, case when i % 2 = 1 then 'autonomous' end,
    case when i % 2 = 0 and i % 100 <> 0 then 'read' end,
    (select at from began) + i * interval '300 seconds'
    from generate_series($1::int, $2::int) i`;

const RECIPIENTS = `insert into recipients (message_id, n, address, status, settled_at)
  select ${ID}, 0, 'rcpt' || i % 1000 || '@bench.example', 'relayed', now()
    from generate_series($1::int, $2::int) i where i % 2 = 1`;

const AUDIT = `insert into audit_events (at, action, resource_type, resource_id, mailbox_id, actor_type, actor_name, metadata)
  select (select at from began) + i * interval '300 seconds' + step * interval '1 second',
    (array['message.accepted', 'message.released', 'message.attempted', 'message.relayed'])[step], 'message', ${ID}, $3,
    'system', 'policy',
    case when step = 1 then jsonb_build_object('from', 'sender@host.example', 'to', jsonb_build_array('rcpt@bench.example'),
      'subject_hash', md5(i::text)) else '{}'::jsonb end
    from generate_series($1::int, $2::int) i, generate_series(1, 4) step
   order by i, step`;
