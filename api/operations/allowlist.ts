/** Whom a `gated_send` mailbox may write to without approval. A person confirms each change. */
import { z } from 'zod';
import type { Pattern } from '../../core/mail/pattern.ts';
import {
  type AllowlistEntry,
  addAllowlistEntry,
  findAllowlistEntry,
  listAllowlist,
  removeFromAllowlist,
} from '../../core/store/allowlists.ts';
import { quoted } from '../access/code-mail.ts';
import { requireConfirmed } from '../access/operator-codes.ts';
import { anyId, idOf, label } from '../input/kinds.ts';
import { approvalCode, mailboxName, pattern } from '../input/kinds-of-mailbox.ts';
import { Answer, type Call, operation } from '../operation.ts';
import { notFound } from '../problem.ts';
import { namedMailbox } from './mailboxes.ts';

const Entry = z.object({
  id: z.string(),
  pattern: z.string(),
  note: z.string().nullable(),
  created_at: z.string(),
});

function entryView({ id, pattern, note, createdAt }: AllowlistEntry): z.input<typeof Entry> {
  return { id, pattern, note, created_at: createdAt.toISOString() };
}

export const listAllowed = operation({
  name: 'list_allowlist',
  summary: 'Whom a mailbox may write to without approval while it is gated_send',
  area: 'mailboxes',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id/allowlist',
  input: z.object({ mailbox_id: mailboxName }),
  output: z.object({ allowlist: z.array(Entry), entries: z.array(Entry) }),
  tool: {
    description:
      'List the recipients that need no approval when the mailbox is in oversight mode gated_send.',
    takes: ['mailbox_id'],
    hints: ['readOnly', 'idempotent'],
  },
  async handle({ mailbox_id }, call) {
    const { id } = await namedMailbox(mailbox_id, call);
    const entries = (await listAllowlist(call.runtime.database.pool, id)).map(entryView);
    return { allowlist: entries, entries };
  },
});

export const addAllowed = operation({
  name: 'add_allowlist_entry',
  summary: 'Let a mailbox write to somebody without approval; a known pattern gives the entry there is',
  area: 'mailboxes',
  access: 'admin',
  confined: true,
  method: 'POST',
  path: '/v1/mailboxes/:mailbox_id/allowlist',
  status: 201,
  input: z.object({
    mailbox_id: mailboxName,
    pattern,
    note: label.nullable().optional(),
    approval_code: approvalCode,
  }),
  output: Entry,
  also: { 200: Entry },
  tool: {
    description:
      'Let mail to a recipient, or to everyone at one domain (*@example.com), leave without approval. The first call mails a code to the operator; ask the person for it and repeat the call with that approval_code.',
    takes: ['pattern', 'note', 'approval_code', 'mailbox_id'],
    hints: [],
  },
  async guard({ mailbox_id, pattern }, call) {
    const { id } = await namedMailbox(mailbox_id, call);
    const known = await findAllowlistEntry(call.runtime.database.pool, id, { pattern });
    return known === undefined ? 'medium' : null;
  },
  asks: async ({ mailbox_id, pattern }, call) =>
    `let ${quoted((await namedMailbox(mailbox_id, call)).address)} write to ${quoted(pattern)} without anybody's approval`,
  async handle({ mailbox_id, pattern, note }, call) {
    const { id } = await namedMailbox(mailbox_id, call);
    const { pool } = call.runtime.database;
    const known = await findAllowlistEntry(pool, id, { pattern });
    if (known !== undefined) return new Answer(200, entryView(known));
    requireConfirmed(call, 'medium');
    const entry = await addAllowlistEntry(pool, id, { pattern, note: note ?? null }, call.caller.actor);
    return new Answer(entry.added ? 201 : 200, entryView(entry));
  },
});

export const removeAllowed = operation({
  name: 'remove_allowlist_entry',
  summary: 'Let a mailbox write to somebody no longer without approval',
  area: 'mailboxes',
  access: 'admin',
  confined: true,
  method: 'DELETE',
  path: '/v1/mailboxes/:mailbox_id/allowlist/:entry_id',
  input: z.object({ mailbox_id: mailboxName, entry_id: anyId, approval_code: approvalCode }),
  output: z.object({ status: z.literal('deleted'), id: z.string() }),
  tool: {
    description:
      'Remove an allowlist entry: mail to that recipient needs approval again. The first call mails a code to the operator; repeat the call with that approval_code.',
    takes: ['entry_id', 'approval_code', 'mailbox_id'],
    hints: ['destructive', 'idempotent'],
  },
  async guard({ mailbox_id, entry_id }, call) {
    await entryOf(mailbox_id, entry_id, call);
    return 'medium';
  },
  async asks({ mailbox_id, entry_id }, call) {
    const { address } = await namedMailbox(mailbox_id, call);
    const { entry } = await entryOf(mailbox_id, entry_id, call);
    return `let ${quoted(address)} write to ${quoted(entry.pattern)} only with approval again`;
  },
  async handle({ mailbox_id, entry_id }, call) {
    const { mailboxId, entry } = await entryOf(mailbox_id, entry_id, call);
    const { runtime, caller } = call;
    await removeFromAllowlist(runtime.database.pool, mailboxId, [entry.pattern as Pattern], caller.actor);
    return { status: 'deleted' as const, id: entry.id };
  },
});

async function entryOf(named: string, entryId: string, call: Call) {
  const { id: mailboxId } = await namedMailbox(named, call);
  const id = idOf(entryId, 'allowlist entry');
  const entry = await findAllowlistEntry(call.runtime.database.pool, mailboxId, { id });
  if (entry === undefined) throw notFound('There is no such allowlist entry.');
  return { mailboxId, entry };
}

export const allowlistOperations = [listAllowed, addAllowed, removeAllowed];
