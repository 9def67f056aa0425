-- Up Migration

-- Ids are ULIDs in byte order, so that "after this id" means "later" whatever the database's locale.
create domain ulid as text collate "C" check (length(value) = 26);

-- The lattice of core/mail/mode.ts; an unknown mode ranks above all, so that it can only close a gate.
create function mode_rank(mode text) returns int language sql immutable parallel safe as $$
  select case mode when 'autonomous' then 0 when 'monitored' then 1 when 'gated_send' then 2
                   when 'gated_all' then 3 when 'read_only' then 4 else 9 end
$$;

create table principals (
  id ulid primary key,
  kind text not null check (kind in ('agent', 'user', 'system')),
  name text not null,
  owner_id ulid references principals,
  created_at timestamptz not null default now(),
  unique (kind, name)
);

create table mailboxes (
  id ulid primary key,
  address text not null,
  -- An address is given out once, ever: mail for a former owner must not reach a new one.
  address_key text not null unique,
  display_name text,
  oversight_mode text not null check (mode_rank(oversight_mode) < 9),
  oversight_address text,
  route text,
  gate_timing text not null default 'gate_first' check (gate_timing in ('gate_first', 'schedule_first')),
  hold_expiry_hours int not null default 168 check (hold_expiry_hours between 1 and 2160),
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now()
);

create table allowlist_entries (
  id ulid primary key,
  mailbox_id ulid not null references mailboxes,
  pattern text not null,
  note text,
  created_at timestamptz not null default now(),
  unique (mailbox_id, pattern)
);

-- api.md 1.6: a whole address, or *@domain for exactly that domain; compared in lower case.
create function allowlist_covers(mailbox ulid, forward_paths text[]) returns boolean language sql stable as $$
  select coalesce(bool_and(exists (
    select 1 from allowlist_entries e
     where e.mailbox_id = mailbox
       and e.pattern in (lower(path), '*@' || lower(substring(path from '[^@]*$'))))), false)
    from unnest(forward_paths) as path
$$;

create table api_keys (
  id ulid primary key,
  name text not null,
  prefix text not null,
  hash bytea not null unique check (length(hash) = 32),
  scopes text[] not null check (not (scopes @> array['send', 'oversight'])),
  principal_id ulid not null references principals,
  mailbox_id ulid references mailboxes,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);

create table submission_logins (
  id ulid primary key,
  mailbox_id ulid not null references mailboxes,
  username text not null unique,
  password_hash text not null,
  principal_id ulid not null references principals,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz
);

-- Bytes as they were accepted and as they will be sent. Rows are written once and read once or twice:
-- never compressed, and kept in the row itself while they fit a page, which spares most mail the TOAST table.
create table contents (
  id ulid primary key,
  sha256 bytea not null check (length(sha256) = 32),
  size int not null,
  bytes bytea not null,
  created_at timestamptz not null default now()
) with (toast_tuple_target = 8160);
alter table contents alter column bytes set storage external;

-- No foreign keys from here on to what the door writes by the thousand: one statement writes a message
-- with all its rows, retention deletes them in order, and a check per row would cost a lock per row.
create table messages (
  id ulid primary key,
  kind text not null check (kind in ('mail', 'dsn', 'copy', 'notice')),
  direction text not null check (direction in ('inbound', 'outbound')),
  source text not null check (source in ('submission', 'trusted', 'mx', 'rest', 'postern')),
  state text not null,
  mailbox_id ulid not null,
  composer_id ulid,
  about_id ulid,

  reverse_path text not null,
  forward_paths text[] not null check (cardinality(forward_paths) > 0),
  smtputf8 boolean not null default false,
  body_8bit boolean not null default false,
  content_id ulid not null,
  size int not null,
  digest bytea not null check (length(digest) = 32),
  internet_message_id text,
  subject text not null default '',
  facts jsonb not null,
  tags jsonb not null default '{}',
  agent text,

  requested_mode text check (requested_mode is null or mode_rank(requested_mode) < 9),
  effective_mode text check (effective_mode is null or mode_rank(effective_mode) < 9),
  released_by text check (released_by in ('mode', 'allowlist', 'approval', 'postern')),
  send_at timestamptz,
  gate_timing text check (gate_timing in ('gate_first', 'schedule_first')),
  status_reason text,

  -- When it was let go: from here the time runs for which it is tried. It may have waited for days before.
  queued_at timestamptz,
  attempts int not null default 0,
  next_attempt_at timestamptz,
  lease_owner ulid,
  lease_epoch int not null default 0,

  dsn_owed text check (dsn_owed in ('failed', 'delayed', 'rejected', 'expired', 'unknown')),
  delay_reported boolean not null default false,
  wake_at timestamptz,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now()
) with (fillfactor = 45);
-- The state stands in no index: a step then rewrites the row in its page and touches no index at all.
-- wake_at is set at the door and cleared at the end, so only those two pay for this one.
create index messages_wake on messages (wake_at) where wake_at is not null;
create index messages_mailbox on messages (mailbox_id, id);
create index messages_about on messages (about_id) where about_id is not null;

-- How each recipient of an outbound message fares, with the next hop's own words.
create table recipients (
  message_id ulid not null,
  n int not null,
  address text not null,
  status text not null default 'pending' check (status in ('pending', 'deferred', 'relayed', 'failed', 'in_doubt')),
  reply_code int,
  reply_enhanced text,
  reply_text text,
  next_hop text,
  settled_at timestamptz,
  -- The sender was told that this one failed.
  reported boolean not null default false,
  primary key (message_id, n)
) with (fillfactor = 70);

-- What a reviewer needs beside the message: why it waits, and until when. closed_at ends it.
create table holds (
  id ulid primary key,
  message_id ulid not null,
  mailbox_id ulid not null,
  reasons text[] not null check (cardinality(reasons) > 0),
  held_at timestamptz not null default now(),
  expires_at timestamptz not null,
  closed_at timestamptz
);
create unique index holds_open on holds (message_id) where closed_at is null;

create table approvals (
  id ulid primary key,
  message_id ulid not null,
  decision text not null check (decision in ('approve', 'reject')),
  digest bytea not null check (length(digest) = 32),
  principal_id ulid not null references principals,
  principal_name text not null,
  reason text,
  decided_at timestamptz not null default now()
);
create index approvals_message on approvals (message_id);

-- Whether the principal stands on the composer's side: is the composer, or shares the composer's owner, or one
-- owns the other. Nobody of that side decides on the message.
create function composed_by(composer ulid, principal ulid) returns boolean language sql stable as $$
  select composer is not null and (composer = principal or exists (
    select 1 from principals c, principals p
     where c.id = composer and p.id = principal
       and (c.owner_id in (p.id, p.owner_id) or p.owner_id = c.id)))
$$;

-- Whether someone who may approved exactly this envelope and content.
create function approved(message ulid, content_digest bytea, composer ulid) returns boolean language sql stable as $$
  select exists (
    select 1 from approvals a
     where a.message_id = message and a.decision = 'approve' and a.digest = content_digest
       and not composed_by(composer, a.principal_id))
$$;

create table workers (
  id ulid primary key,
  room text not null,
  lease_until timestamptz not null,
  started_at timestamptz not null default now()
);

create table attempts (
  message_id ulid not null,
  n int not null,
  worker_id ulid not null,
  epoch int not null,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  route text,
  next_hop text,
  outcome text check (outcome in ('relayed', 'deferred', 'failed', 'in_doubt')),
  reply text,
  primary key (message_id, n)
) with (fillfactor = 70);

-- A route whose next hop refuses our credentials or our TLS terms waits here for a person or a success.
create table paused_routes (
  name text primary key,
  reason text not null,
  paused_at timestamptz not null default now(),
  probe_at timestamptz not null
);

-- The capture box: where mail of a `capture` route ends instead of the internet.
create table captures (
  id ulid primary key,
  message_id ulid not null,
  content_id ulid not null,
  reverse_path text not null,
  forward_paths text[] not null,
  subject text not null,
  captured_at timestamptz not null default now()
);

create table idempotency_keys (
  mailbox_id ulid not null,
  key text not null,
  message_id ulid not null,
  request_sha256 bytea not null,
  created_at timestamptz not null default now(),
  primary key (mailbox_id, key)
);

create table audit_events (
  seq bigint generated always as identity primary key,
  at timestamptz not null default now(),
  action text not null,
  resource_type text not null,
  resource_id text not null,
  mailbox_id text,
  actor_type text not null check (actor_type in ('key', 'user', 'login', 'network', 'peer', 'system')),
  actor_id text,
  actor_name text not null,
  from_state text,
  to_state text,
  metadata jsonb not null default '{}'
);
create index audit_events_resource on audit_events (resource_id, seq);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is only ever added to' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_events_append_only before update or delete or truncate on audit_events
  for each statement execute function refuse_change();
