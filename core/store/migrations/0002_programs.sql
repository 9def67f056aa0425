-- Up Migration

-- What programs see beside the mail itself: the account, its people's codes, contacts, suppressions, webhooks.

-- One installation is one account. Its row is made at the first start.
create table account (
  id ulid primary key,
  one boolean not null default true unique check (one),
  name text not null,
  slug text not null,
  oversight_address text,
  physical_address text,
  is_active boolean not null default true,
  sending_disabled boolean not null default false,
  sending_disabled_reason text,
  -- Sending was allowed again: what failed before no longer counts against the account.
  sending_judged_from timestamptz,
  -- Signs links to attachments and the account's reputation mark.
  secret bytea not null check (length(secret) = 32),
  created_at timestamptz not null default now()
);

alter table mailboxes
  add column auto_cc text,
  add column auto_bcc text,
  add column forward_inbound boolean not null default false,
  add column webhook_url text,
  add column oversight_webhook_url text,
  add column signature_block text check (length(signature_block) <= 200),
  add column mcp_configured boolean not null default true,
  add column scheduling_enabled boolean not null default true,
  add column did text,
  -- Postern's own, from which its notices come: no key sees it or its mail.
  add column is_system boolean not null default false,
  add column deleted_at timestamptz;
create unique index mailboxes_system on mailboxes (is_system) where is_system;

alter table messages
  -- Of the message that began the thread; null for that one itself.
  add column thread_id ulid,
  -- Where it stands in lists when that is not its own id: mail let in late comes last.
  add column place ulid,
  -- Of inbound mail; null is unread.
  add column inbox_status text check (inbox_status in ('read', 'archived', 'deleted')),
  add column spam_verdict text check (spam_verdict in ('clean', 'flagged', 'quarantined')),
  add column spam_score int check (spam_score between 0 and 100),
  add column user_label text check (user_label in ('spam', 'not_spam'));
-- None of these columns changes in a step of the lifecycle, so those steps still touch no index.
drop index messages_mailbox;
create index messages_mailbox on messages (mailbox_id, (coalesce(place, id)));
create index messages_unread on messages (mailbox_id, (coalesce(place, id)))
  where direction = 'inbound' and inbox_status is null;
create index messages_spam on messages ((coalesce(place, id))) where spam_verdict in ('flagged', 'quarantined');
create index messages_thread on messages (thread_id) where thread_id is not null;
create index messages_tags on messages using gin (tags) where tags <> '{}';

-- What the people who oversee were told of a hold. No index: open holds are few enough to be looked through.
alter table holds
  add column notified_at timestamptz,
  add column reminded_at timestamptz,
  -- It ended with nobody having decided, and that has yet to be told.
  add column expiry_owed boolean not null default false;
create index holds_expiry_owed on holds (id) where expiry_owed;

-- What a program asked for, kept so that it can be composed again when a reviewer or the program edits it.
create table compositions (
  message_id ulid primary key,
  draft jsonb not null
);

-- The same content is not sent twice within a minute unless a key says so.
create table recent_sends (
  mailbox_id ulid not null,
  fingerprint bytea not null check (length(fingerprint) = 32),
  message_id ulid not null,
  created_at timestamptz not null default now(),
  primary key (mailbox_id, fingerprint)
);

alter table idempotency_keys add column operation text not null default 'send_email';
alter table idempotency_keys drop constraint idempotency_keys_pkey, add primary key (mailbox_id, operation, key);

-- Requests other than sending, with the answer they had.
create table idempotent_requests (
  operation text not null,
  key text not null,
  -- Of who asked what.
  request_sha256 bytea not null check (length(request_sha256) = 32),
  attempt ulid not null,
  -- Null while the first still runs, which it says again and again.
  status int,
  running_until timestamptz not null,
  -- Sealed under the caller's API key, of which we keep a hash alone: it may hold a secret or text of mail.
  answer bytea,
  created_at timestamptz not null default now(),
  primary key (operation, key)
);

-- Each edit of a held or scheduled message. The diff goes with the text when retention removes it.
create table revisions (
  id ulid primary key,
  message_id ulid not null,
  digest bytea not null check (length(digest) = 32),
  previous_digest bytea not null check (length(previous_digest) = 32),
  edited_by_id ulid not null,
  edited_by text not null,
  edited_at timestamptz not null default now(),
  changed text[] not null,
  reason text,
  diff text
);
create index revisions_message on revisions (message_id);

alter table approvals add column receipt text;

-- Header fields that went on top of the stored bytes when they left.
alter table captures add column marks text not null default '';

-- One-time codes that go to people by mail. Only their hash is kept.
create table operator_codes (
  id ulid primary key,
  purpose text not null check (purpose in ('operation', 'upgrade', 'session')),
  -- Of an upgrade: the mailbox. Else the principal that asked.
  subject_id ulid not null,
  -- Name of the guarded operation, or the target mode of an upgrade.
  operation text not null,
  -- What the code is bound to: the request, or the mode at the time of asking.
  bound_to bytea not null check (length(bound_to) = 32),
  code_hash bytea not null check (length(code_hash) = 32),
  -- The key.
  requested_by ulid not null,
  -- What is asked for, as the mail tells it.
  words text not null,
  wrong_tries int not null default 0,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- A signed-in person said yes to it: the same call by the same key then passes once without the code.
  confirmed_at timestamptz,
  used_at timestamptz,
  -- Replaced by a newer one, or tried too often.
  dead_at timestamptz
);
create index operator_codes_open on operator_codes (purpose, subject_id) where used_at is null and dead_at is null;

create table operator_sessions (
  id ulid primary key,
  key_id ulid not null references api_keys,
  token_hash bytea not null unique check (length(token_hash) = 32),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz
);
create index operator_sessions_key on operator_sessions (key_id) where ended_at is null;

create table contacts (
  id ulid primary key,
  name text not null,
  -- In lower case, made outside: what the database takes for lower case depends on its locale.
  name_key text not null,
  email text not null,
  email_key text not null unique,
  tags text[] not null default '{}',
  created_at timestamptz not null default now()
);

create table suppressions (
  id ulid primary key,
  address text not null,
  address_key text not null unique,
  reason text not null check (reason in ('hard_bounce', 'complaint', 'unsubscribe', 'manual')),
  mailbox_id ulid,
  message_id ulid,
  created_at timestamptz not null default now()
);

create table domains (
  id ulid primary key,
  domain text not null unique,
  status text not null default 'pending' check (status in ('pending', 'active')),
  dkim_verified boolean not null default false,
  spf_verified boolean not null default false,
  mx_verified boolean not null default false,
  return_path_verified boolean not null default false,
  -- What the owner proves the domain by, and signs its mail with.
  token text not null,
  dkim_selector text not null,
  dkim_private_key text not null,
  dkim_public_key text not null,
  created_at timestamptz not null default now(),
  verified_at timestamptz
);

create table webhooks (
  id ulid primary key,
  url text not null,
  events text[] not null check (cardinality(events) > 0),
  mailbox_id ulid,
  -- `api`, or the field of the mailbox that it stands for.
  source text not null default 'api' check (source in ('api', 'webhook_url', 'oversight_webhook_url')),
  secret text not null,
  previous_secret text,
  previous_secret_until timestamptz,
  created_at timestamptz not null default now(),
  disabled_at timestamptz,
  deleted_at timestamptz
);

create table feedback (
  id ulid primary key,
  type text not null check (type in ('tool_bug', 'site_problem', 'feature_request', 'other')),
  subject text not null,
  description text not null,
  tool_name text,
  error_message text,
  principal_id ulid not null,
  created_at timestamptz not null default now()
);

-- Counted in memory and added up here now and then; mail is counted from the messages themselves.
create table usage_counts (
  day date not null,
  event_type text not null,
  count bigint not null default 0,
  primary key (day, event_type)
);

-- Keys that sign what we say of outgoing mail, of approvals and of the audit log. The one without retired_at signs.
create table signing_keys (
  kid text primary key,
  -- Forgotten with the key's retirement: what it signed is checked by the public half.
  private_key text,
  public_jwk jsonb not null,
  created_at timestamptz not null default now(),
  retired_at timestamptz,
  check ((private_key is null) = (retired_at is not null))
);
create unique index signing_keys_current on signing_keys ((true)) where retired_at is null;

-- Closed over all events after the last one's, up to last_seq. The ids are those that the events have in the log;
-- leaves are the hashes of the events one after the other, so that a row that was meddled with can be named.
create table audit_checkpoints (
  id ulid primary key,
  first_seq bigint not null,
  last_seq bigint not null unique,
  first_id text not null,
  last_id text not null,
  leaves bytea not null,
  count bigint not null,
  merkle_root bytea not null,
  previous bytea,
  hash bytea not null,
  signature text not null,
  kid text not null,
  created_at timestamptz not null default now()
);
alter table audit_checkpoints alter column leaves set storage external;
create trigger audit_checkpoints_append_only before update or delete or truncate on audit_checkpoints
  for each statement execute function refuse_change();

-- How often somebody asked for something lately, in the shape rate-limiter-flexible reads and writes. A crash may
-- empty it: whoever was counted then begins anew.
create unlogged table rate_limits (
  key text primary key,
  points int not null default 0,
  expire bigint
);
