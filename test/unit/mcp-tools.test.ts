import { expect, test } from 'vitest';
import { toolBox } from '../../api/mcp/tools.ts';
import { OPERATIONS } from '../../api/registry.ts';

/** Every tool: what it takes, `*` for what cannot be left out, and its hints: read-only, destructive, idempotent. */
const TOOLS: Record<string, [takes: string, hints: string]> = {
  send_email: [
    'to* subject* markdown* cc bcc attachments idempotency_key send_at gate_timing oversight_mode tags agent ucan mailbox_id',
    '',
  ],
  check_inbox: [
    'status sender subject_contains date_after date_before direction has_attachments since_id limit cursor mailbox_id',
    'R I',
  ],
  read_email: ['email_id* mailbox_id', 'I'],
  reply_email: [
    'email_id* markdown* cc bcc attachments idempotency_key oversight_mode tags agent ucan mailbox_id',
    '',
  ],
  get_thread: ['thread_id* mailbox_id', 'R I'],
  download_attachment: ['email_id* filename* mailbox_id', 'R I'],
  cancel_message: ['email_id* mailbox_id', 'D I'],
  edit_scheduled_email: ['email_id* send_at to cc bcc subject markdown mailbox_id', 'I'],
  wait_for_email: ['timeout_seconds filter mailbox_id', 'R I'],
  get_tags: ['email_id* mailbox_id', 'R I'],
  set_tags: ['email_id* tags* mailbox_id', 'I'],
  delete_tag: ['email_id* key* mailbox_id', 'D I'],
  list_pending: ['', 'R I'],
  decide_email: ['email_id* action* reason content_digest', ''],
  manage_upgrade: ['action* target_mode code mailbox_id', ''],
  list_allowlist: ['mailbox_id', 'R I'],
  add_allowlist_entry: ['pattern* note approval_code mailbox_id', ''],
  remove_allowlist_entry: ['entry_id* approval_code mailbox_id', 'D I'],
  list_mailboxes: ['', 'R I'],
  configure_mailbox: [
    'oversight_mode display_name auto_cc auto_bcc signature_block default_gate_timing scheduling_enabled approval_code mailbox_id',
    'D I',
  ],
  update_mailbox: [
    'display_name oversight_mode auto_cc auto_bcc forward_inbound signature_block approval_code mailbox_id',
    'I',
  ],
  create_mailbox: ['address_local_part* display_name approval_code', ''],
  delete_mailbox: ['mailbox_id*', 'D I'],
  get_account: ['', 'R I'],
  update_account: ['name oversight_email physical_address approval_code', 'I'],
  delete_account: ['approval_code', 'D I'],
  get_usage: ['period', 'R I'],
  upgrade_plan: ['plan* interval', ''],
  cancel_subscription: ['approval_code', 'D I'],
  get_billing_portal: ['return_url', 'R I'],
  request_challenge: ['oversight_email', ''],
  create_account: [
    'operator_name* oversight_email* accepted_tos* accepted_operator_agreement* accepted_anti_spam_policy* pow_solution* slug physical_address use_case oversight_mode',
    '',
  ],
  resend_confirmation: ['oversight_email*', ''],
  activate_account: ['code*', ''],
  setup_multimail: ['', 'R I'],
  list_api_keys: ['', 'R I'],
  create_api_key: ['name* scopes* approval_code', ''],
  revoke_api_key: ['key_id* approval_code', 'D I'],
  get_audit_log: ['limit cursor …', 'R I'],
  search_contacts: ['query', 'R I'],
  add_contact: ['name* email* tags', ''],
  delete_contact: ['contact_id*', 'D I'],
  manage_spam_status: ['action* email_id*', 'D'],
  list_spam: ['limit', 'R I'],
  list_suppression: ['limit cursor', 'R I'],
  remove_suppression: ['email_address*', 'D I'],
  create_webhook: ['url* events* mailbox_id approval_code', ''],
  list_webhooks: ['', 'R I'],
  delete_webhook: ['webhook_id*', 'D I'],
  report_issue: ['type* subject* description* tool_name error_message', ''],
};

interface Entry {
  name: string;
  title: string;
  description: string;
  inputSchema: { properties: Record<string, object>; required?: string[]; additionalProperties: boolean };
  annotations: Record<string, unknown>;
}

const box = toolBox({ operations: OPERATIONS });
const listed = box.listed(['admin']) as Entry[];

test('an admin key has fifty tools and no others', () => {
  expect(listed).toHaveLength(50);
  expect(listed.map(({ name }) => name).sort()).toEqual(Object.keys(TOOLS).sort());
});

test.each(listed)('$name takes what it is documented to take, and says how it behaves', (entry) => {
  const [takes, hints] = TOOLS[entry.name]!;
  const { properties, required = [], additionalProperties } = entry.inputSchema;
  const shown = Object.keys(properties).map((name) => (required.includes(name) ? `${name}*` : name));
  const [wanted, open] = takes.includes('…') ? [takes.slice(0, -2), true] : [takes, false];
  if (open) expect(shown).toEqual(expect.arrayContaining(wanted.split(' ')));
  else expect(shown.sort().join(' ')).toBe(wanted.split(' ').sort().join(' '));
  expect(additionalProperties).toBe(false);
  expect(entry.annotations).toEqual({
    title: entry.title,
    readOnlyHint: hints.includes('R'),
    destructiveHint: hints.includes('D'),
    idempotentHint: hints.includes('I'),
    openWorldHint: false,
  });
});

test.each(listed)(
  '$name describes itself and each of its inputs in a few words',
  ({ description, inputSchema }) => {
    expect(description.length).toBeGreaterThan(20);
    expect(description.length).toBeLessThan(600);
    // Every input says of what kind it is: nothing is left to a guess.
    const kinds = Object.entries(inputSchema.properties).map(([name, schema]) => [
      name,
      'type' in schema || 'const' in schema || 'enum' in schema,
    ]);
    expect(kinds.filter(([, known]) => known === false)).toEqual([]);
    expect(JSON.stringify(inputSchema)).not.toMatch(/"anyOf"|"pattern":"|"propertyNames"/);
  },
);

test('the same scopes get the same list, in the same order', () => {
  expect(box.listed(['send', 'read'])).toBe(box.listed(['read', 'send']));
  expect(toolBox({ operations: OPERATIONS }).listed(['admin'])).toEqual(listed);
});

test('a tool is shown one form of each input, though REST reads several', () => {
  const send = listed.find(({ name }) => name === 'send_email')!.inputSchema.properties;
  expect(send.to).toMatchObject({ type: 'array', items: { type: 'string' } });
  expect(send.tags).toMatchObject({ type: 'object', additionalProperties: { type: 'string' } });
  expect(send.oversight_mode).toMatchObject({
    enum: expect.arrayContaining(['read_only', 'gated_all', 'gated_send', 'monitored', 'autonomous']),
  });
  const update = listed.find(({ name }) => name === 'update_mailbox')!.inputSchema.properties;
  expect(update.forward_inbound).toMatchObject({ type: 'boolean' });
  expect(update.auto_cc).toMatchObject({ type: ['string', 'null'] });
});

test('what tells of mail is told as mail', () => {
  const told = OPERATIONS.flatMap(({ name, tool }) => (tool?.tells ? [[name, tool.tells] as const] : []));
  expect(Object.fromEntries(told.filter(([, how]) => how !== 'json'))).toEqual({
    check_inbox: 'fields',
    get_thread: 'fields',
    list_spam: 'fields',
    wait_for_email: 'fields',
    read_email: 'message',
    list_pending: 'messages',
    setup_multimail: 'text',
  });
});
