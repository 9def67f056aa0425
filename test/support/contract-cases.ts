/** One case for every operation: what a call needs that succeeds, and what is true of its answer. */
import { expect } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { approvalToken } from '../../core/mail/approval-token.ts';
import { newId } from '../../core/mail/id.ts';
import { unsubscribeToken } from '../../core/mail/unsubscribe-token.ts';
import { readAccount } from '../../core/store/account.ts';
import type { Scope } from '../../core/store/keys.ts';
import { suppress } from '../../core/store/suppressions.ts';
import type { Input } from './contract.ts';
import type { World } from './contract-world.ts';

export interface Case {
  /** Input for a call that succeeds: made anew for each, since most can be made once only. */
  input(world: World, key: string): Promise<Input> | Input;
  /** The status it answers with where that is no success: there is nothing yet that it could do. */
  status?: 404;
  /** The scope of the key, when the first that the operation names would not do. */
  as?: Scope;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into as JSON
  check?: (answer: any, input: Input) => void;
  /** Members that name a resource. */
  names?: string[];
  /** What makes the input malformed; without it a member of the body is made an object. */
  malformed?: Input;
  /** It ends the account: it gets a world of its own. */
  alone?: true;
}

const mailbox = ['mailbox_id'];
const message = ['mailbox_id', 'email_id'];
const inBox = async (world: World) => ({ mailbox_id: world.mine });
const nothing = () => ({});

const held = async (world: World) => ({ mailbox_id: world.mine, email_id: await world.held() });
const arrived = async (world: World) => ({ mailbox_id: world.mine, email_id: await world.inbound() });
const withFile = async (world: World) => ({ ...(await arrived(world)), filename: 'report.txt' });
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as JSON
const sameMessage = (answer: any, { email_id }: Input) => expect(answer.id).toBe(email_id);
// biome-ignore lint/suspicious/noExplicitAny: the same
const has = (part: object) => (answer: any) => expect(answer).toMatchObject(part);
const list = (name: string) => has({ [name]: expect.any(Array) });

const mail = (world: World) => ({
  mailbox_id: world.mine,
  to: ['ana@remote.example'],
  subject: `Report ${world.unique()}`,
  markdown: 'It is *done*.',
});

const emails: Record<string, Case> = {
  send_email: {
    input: mail,
    names: mailbox,
    check: has({ status: 'pending_scan', pending_approval: true, idempotent: false }),
  },
  reply_email: {
    input: async (world) => ({ ...(await arrived(world)), markdown: `Thank you ${world.unique()}.` }),
    names: message,
    check: has({ id: expect.any(String), status: 'pending_scan', thread_id: expect.any(String) }),
  },
  edit_scheduled_email: {
    input: async (world) => ({
      mailbox_id: world.mine,
      email_id: await world.scheduled(),
      subject: 'Better',
    }),
    names: message,
    check: has({
      status: expect.stringMatching(/^(pending_scan|scheduled)$/),
      content_digest: expect.any(String),
    }),
  },
  cancel_message: { input: held, names: message, check: has({ status: 'cancelled' }) },
  check_inbox: {
    input: async (world) => ({ mailbox_id: world.mine, limit: 1, since_id: await world.inbound() }),
    names: mailbox,
    check: has({ emails: expect.any(Array), cursor: null }),
    malformed: { status: 'nonsense' },
  },
  read_email: { input: arrived, names: message, check: has({ direction: 'inbound' }) },
  update_email: {
    input: async (world) => ({ ...(await arrived(world)), status: 'archived' }),
    names: message,
    check: has({ status: 'archived' }),
  },
  raw_email: { input: async (world) => ({ email_id: await world.held() }), names: ['email_id'] },
  explain_email: {
    input: async (world) => ({ email_id: await world.held() }),
    names: ['email_id'],
    check: has({ because: expect.any(Array) }),
  },
  get_thread: {
    input: async (world) => ({ mailbox_id: world.mine, thread_id: await world.inbound() }),
    names: ['mailbox_id', 'thread_id'],
    check: has({ message_count: 1, has_unanswered_inbound: true }),
  },
  get_tags: { input: held, names: message, check: has({ tags: {} }) },
  set_tags: {
    input: async (world) => ({ ...(await held(world)), tags: { incident: '7' } }),
    names: message,
    check: has({ tags: { incident: '7' } }),
  },
  delete_tag: {
    input: async (world) => ({ ...(await held(world)), key: 'incident' }),
    names: message,
    check: has({ deleted: false }),
  },
  get_attachment: {
    input: withFile,
    names: [...message, 'filename'],
    check: (text) => expect(text).toBe('All is well.'),
  },
  get_attachment_url: { input: withFile, names: [...message, 'filename'], check: has({ expires_in: 3600 }) },
  get_linked_attachment: {
    input: async (world) => {
      const { mailbox_id, email_id, filename } = await withFile(world);
      const path = `/v1/mailboxes/${mailbox_id}/emails/${email_id}/attachments/${filename}/url`;
      const { json } = await world.api.call('GET', path, { key: await world.keyWith('read') });
      return { token: decodeURIComponent(String(json.url).split('/').at(-1)!) };
    },
    check: (text) => expect(text).toBe('All is well.'),
  },
  download_attachment: {
    input: withFile,
    names: [...message, 'filename'],
    check: has({ filename: 'report.txt', content_base64: Buffer.from('All is well.').toString('base64') }),
  },
  list_spam: { input: nothing, check: list('emails'), malformed: { status: 'read' } },
  report_spam: {
    input: async (world) => ({ email_id: await world.inbound() }),
    names: ['email_id'],
    check: has({ status: 'spam_quarantined', user_label: 'spam' }),
  },
  not_spam: {
    input: async (world) => {
      const email_id = await world.inbound();
      await world.api.call('POST', `/v1/emails/${email_id}/report-spam`, {
        key: await world.keyWith('send'),
      });
      return { email_id };
    },
    names: ['email_id'],
    check: has({ status: 'unread', user_label: 'not_spam' }),
  },
  manage_spam_status: {
    input: async (world) => ({ email_id: await world.inbound(), action: 'report' }),
    names: ['email_id'],
    check: sameMessage,
  },
  wait_for_email: {
    input(world) {
      // Asked for by those as well who are refused at once; nobody may be there any more to take it in.
      setTimeout(() => void world.inbound().catch(() => {}), 300);
      return { mailbox_id: world.mine, timeout_seconds: 30 };
    },
    names: mailbox,
    check: has({ found: true, emails: expect.any(Array) }),
    malformed: { timeout_seconds: 'soon' },
  },
};

const decision = async (world: World) => ({ email_id: await world.held(), reason: 'Looked at.' });
const oversight: Record<string, Case> = {
  list_pending: { input: nothing, check: list('emails'), malformed: { direction: 'sideways' } },
  review_email: {
    input: async (world) => ({ email_id: await world.held() }),
    names: ['email_id'],
    check: sameMessage,
  },
  edit_email: {
    async input(world) {
      const email_id = await world.held();
      const { json } = await world.api.call('GET', `/v1/oversight/emails/${email_id}`, {
        key: world.api.keys.reviewer,
      });
      return { email_id, content_digest: json.content_digest, subject: 'Better' };
    },
    names: ['email_id'],
    check: has({ status: 'pending_send_approval', changed: ['subject'] }),
  },
  decide_email: {
    input: async (world) => ({ ...(await decision(world)), action: 'approve' }),
    names: ['email_id'],
    check: has({ status: 'approved_and_sent' }),
  },
};

const audit: Record<string, Case> = {
  get_audit_log: { input: nothing, check: list('entries'), malformed: { since: 'yesterday' } },
  export_audit_log: { input: () => ({ format: 'ndjson' }), malformed: { format: 'xml' } },
  read_audit_entry: {
    async input(world) {
      await world.held();
      const { json } = await world.api.call('GET', '/v1/audit-log?limit=1', { key: world.api.keys.admin });
      return { entry_id: json.entries[0].id };
    },
    names: ['entry_id'],
    check: has({ action: expect.any(String) }),
  },
  list_audit_checkpoints: { input: nothing, check: list('checkpoints') },
  list_captures: { input: nothing, check: list('captures') },
  get_capture: { input: async (world) => ({ id: await world.captured() }), names: ['id'] },
  raw_capture: { input: async (world) => ({ id: await world.captured() }), names: ['id'] },
  empty_captures: { input: nothing },
  show_queue: { input: nothing },
  resume_route: {
    async input(world) {
      const pause = `insert into paused_routes (name, reason, probe_at) values ('capture', 'a test', now()) on conflict do nothing`;
      await world.api.runtime.database.pool.query(pause);
      return { name: 'capture' };
    },
    names: ['name'],
  },
  list_queued_emails: { input: nothing, check: list('emails'), malformed: { state: 'nonsense' } },
  show_queued_email: {
    input: async (world) => ({ email_id: await world.held() }),
    names: ['email_id'],
    check: sameMessage,
  },
  retry_email: { input: async (world) => ({ email_id: await world.inDoubt() }), names: ['email_id'] },
  settle_email: {
    input: async (world) => ({ email_id: await world.inDoubt(), outcome: 'sent' }),
    names: ['email_id'],
    check: has({ status: 'sent' }),
  },
};

async function upgradeAsked(world: World): Promise<Input> {
  const address = `climber${world.unique()}@ours.example`;
  const { id } = await world.api.mailbox(address, 'gated_send');
  await world.api.call('POST', `/v1/mailboxes/${id}/request-upgrade`, {
    key: await world.keyWith('send'),
    body: { target_mode: 'monitored' },
  });
  return { mailbox_id: id, code: await world.api.code() };
}

const fresh = async (world: World) =>
  (await world.api.mailbox(`box${world.unique()}@ours.example`, 'gated_send')).id;

const mailboxes: Record<string, Case> = {
  list_mailboxes: { input: nothing, check: list('mailboxes') },
  get_mailbox: {
    input: inBox,
    names: mailbox,
    check: has({ address: 'mine@ours.example', ai_disclosure: 1 }),
  },
  create_mailbox: {
    input: (world) => ({ address_local_part: `new${world.unique()}`, display_name: 'New' }),
    check: has({ oversight_mode: 'gated_send' }),
  },
  delete_mailbox: {
    input: async (world) => ({ mailbox_id: await fresh(world) }),
    names: mailbox,
    check: has({ status: 'deleted' }),
  },
  update_mailbox: {
    input: (world) => ({ mailbox_id: world.mine, auto_bcc: `watcher${world.unique()}@ours.example` }),
    names: mailbox,
    check: has({ status: 'updated' }),
  },
  configure_mailbox: {
    input: (world) => ({ mailbox_id: world.mine, display_name: `Mine ${world.unique()}` }),
    names: mailbox,
    check: has({ status: 'updated', mailbox: { is_active: 1 } }),
  },
  list_allowlist: { input: inBox, names: mailbox, check: list('allowlist') },
  add_allowlist_entry: {
    input: (world) => ({ mailbox_id: world.mine, pattern: `*@friends${world.unique()}.example` }),
    names: mailbox,
    check: has({ pattern: expect.stringMatching(/^\*@friends/) }),
  },
  remove_allowlist_entry: {
    async input(world) {
      const [entry_id, mailbox_id] = [await world.foreign('entry_id'), world.mine];
      await world.api.runtime.database.pool.query(
        'update allowlist_entries set mailbox_id = $1 where id = $2',
        [mailbox_id, entry_id],
      );
      return { mailbox_id, entry_id };
    },
    names: ['mailbox_id', 'entry_id'],
    check: has({ status: 'deleted' }),
  },
  request_upgrade: {
    input: async (world) => ({ mailbox_id: await fresh(world), target_mode: 'monitored' }),
    names: mailbox,
    check: has({ status: 'upgrade_requested' }),
  },
  apply_upgrade: { input: upgradeAsked, names: mailbox, check: has({ oversight_mode: 'monitored' }) },
  manage_upgrade: {
    input: async (world) => ({ ...(await upgradeAsked(world)), action: 'apply' }),
    names: mailbox,
    check: has({ status: 'upgraded' }),
  },
};

const people: Record<string, Case> = {
  start_operator_session: { input: nothing, check: has({ status: 'code_sent' }) },
  verify_operator_session: {
    async input(world, key) {
      await world.api.call('POST', '/v1/operator/start-session', { key, body: {} });
      return { code: await world.api.code() };
    },
    check: has({ status: 'active' }),
  },
  end_operator_session: { input: nothing, check: has({ status: 'ended' }) },
  get_operator_session: { input: nothing, check: has({ active: false }) },
  list_api_keys: { input: nothing, check: list('api_keys') },
  create_api_key: {
    input: (world) => ({ name: `key ${world.unique()}`, scopes: ['read'] }),
    check: has({ api_key: expect.stringMatching(/^mm_test_/) }),
  },
  update_api_key: {
    input: async (world) => ({ key_id: (await world.api.key({})).id, name: 'another name' }),
    names: ['key_id'],
    check: has({ status: 'updated' }),
  },
  revoke_api_key: {
    input: async (world) => ({ key_id: (await world.api.key({})).id }),
    names: ['key_id'],
    check: has({ status: 'revoked' }),
  },
  list_logins: { input: nothing, check: list('logins') },
  create_login: {
    input: (world) => ({ mailbox: world.mine, username: `user${world.unique()}` }),
  },
  revoke_login: {
    async input(world) {
      const key = world.api.keys.admin;
      const body = { mailbox: world.mine, username: `gone${world.unique()}` };
      return { id: (await world.api.confirm('POST', '/v1/logins', { key, body })).json.id };
    },
    names: ['id'],
  },
  get_account: { input: nothing, check: has({ plan: 'self_hosted', is_active: true }) },
  update_account: {
    input: (world) => ({ name: `House ${world.unique()}` }),
    check: has({ status: 'updated' }),
  },
  delete_account: { input: nothing, alone: true, check: has({ status: 'deleted' }) },
  get_usage: {
    input: () => ({ period: 'daily' }),
    check: has({ breakdown: 'daily' }),
    malformed: { period: 'hourly' },
  },
  export_account: { input: nothing, malformed: { format: 'xml' } },
  report_issue: {
    input: () => ({ type: 'other', subject: 'Hello', description: 'There is something.' }),
    check: has({ status: 'received' }),
  },
};

async function contact(world: World): Promise<Input> {
  const body = { email: `friend${world.unique()}@remote.example` };
  const { json } = await world.api.call('POST', '/v1/contacts', { key: await world.keyWith('send'), body });
  return { contact_id: json.id };
}

async function subscription(world: World): Promise<Input> {
  const body = { url: `https://hooks${world.unique()}.example/x`, events: ['message.sent'] };
  const { json } = await world.api.confirm('POST', '/v1/webhooks', {
    key: await world.keyWith('admin'),
    body,
  });
  return { webhook_id: json.id };
}

async function suppressed(world: World): Promise<Input> {
  const email_address = `never${world.unique()}@remote.example`;
  await suppress(
    world.api.runtime.database.pool,
    { address: email_address, reason: 'manual' },
    system('cli'),
  );
  return { email_address };
}

async function unsubscribing(world: World): Promise<Input> {
  const { secret } = await readAccount(world.api.runtime.database.pool);
  const address = `left${world.unique()}@remote.example`;
  return { token: unsubscribeToken(secret, { mailboxId: world.mine, address }) };
}

async function approving(world: World): Promise<Input> {
  const { api } = world;
  const id = await world.held();
  const { secret } = await readAccount(api.runtime.database.pool);
  const { json } = await api.call('GET', `/v1/oversight/emails/${id}`, { key: api.keys.reviewer });
  return { token: approvalToken(secret, id, json.content_digest) };
}

async function domain(world: World): Promise<Input> {
  const body = { domain: `d${world.unique()}.example` };
  const { json } = await world.api.call('POST', '/v1/domains', { key: world.api.keys.admin, body });
  return { domain_id: json.id };
}

const things: Record<string, Case> = {
  show_approval: { input: approving, names: ['token'] },
  decide_by_link: {
    input: async (world) => ({ ...(await approving(world)), action: 'send_code' }),
    names: ['token'],
  },
  add_contact: {
    input: (world) => ({ name: 'Friend', email: `friend${world.unique()}@remote.example` }),
    check: has({ name: 'Friend', created_at: expect.any(Number) }),
  },
  search_contacts: { input: nothing, check: list('contacts') },
  delete_contact: { input: contact, names: ['contact_id'], check: has({ deleted: true }) },
  list_suppression: { input: nothing, check: list('suppressions'), malformed: { cursor: 'made up' } },
  remove_suppression: { input: suppressed, names: ['email_address'], check: has({ status: 'removed' }) },
  show_unsubscribe: { input: unsubscribing, names: ['token'] },
  unsubscribe: { input: unsubscribing, names: ['token'] },
  create_webhook: {
    input: (world) => ({ url: `https://hooks${world.unique()}.example/x`, events: ['message.sent'] }),
    check: has({ signing_secret: expect.stringMatching(/^whsec_/) }),
  },
  list_webhooks: { input: nothing, check: list('subscriptions') },
  get_webhook: { input: subscription, names: ['webhook_id'], check: has({ events: ['message.sent'] }) },
  update_webhook: {
    input: async (world) => ({ ...(await subscription(world)), rotate_secret: true }),
    names: ['webhook_id'],
  },
  delete_webhook: { input: subscription, names: ['webhook_id'], check: has({ status: 'deleted' }) },
  // webhooks are not delivered yet, so there is nothing to deliver again
  replay_webhook_delivery: { input: () => ({ delivery_id: newId() }), names: ['delivery_id'], status: 404 },
  list_webhook_deliveries: { input: nothing, check: list('deliveries'), malformed: { status: 'lost' } },
  add_domain: {
    input: (world) => ({ domain: `d${world.unique()}.example` }),
    check: has({ status: 'pending' }),
  },
  list_domains: { input: nothing, check: list('domains') },
  get_domain: { input: domain, names: ['domain_id'], check: has({ status: 'pending' }) },
  delete_domain: { input: domain, names: ['domain_id'], check: has({ status: 'deleted' }) },
  verify_domain: { input: domain, names: ['domain_id'], check: has({ status: 'pending' }) },
};

const open: Record<string, Case> = {
  get_signing_key: { input: nothing, check: has({ kty: 'EC', crv: 'P-256' }) },
  verify_identity: { input: () => ({ identity: 'a.b' }), check: has({ valid: false }) },
  show_verify: { input: nothing },
  get_reputation: {
    input: async (world) => ({ hash: await world.api.runtime.issuer.reputation() }),
    names: ['hash'],
    check: has({ bounce_rate: expect.any(String) }),
  },
  protected_resource: { input: nothing, check: has({ bearer_methods_supported: ['header'] }) },
  setup_multimail: { input: nothing },
  get_proof_status: { input: nothing, check: list('properties') },
};

export const CASES: Record<string, Case> = {
  ...emails,
  ...oversight,
  ...audit,
  ...mailboxes,
  ...people,
  ...things,
  ...open,
};
