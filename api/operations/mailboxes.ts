/** Mailboxes: listed, made, closed. What can be changed of one is in mailbox-settings.ts. */
import { z } from 'zod';
import { type Address, domainOf, parseAddress } from '../../core/mail/address.ts';
import { type Mode, strictest } from '../../core/mail/mode.ts';
import { readAccount } from '../../core/store/account.ts';
import { createMailbox, isAddressTaken, listMailboxes, openDomains } from '../../core/store/accounts.ts';
import { deleteMailbox } from '../../core/store/mailbox-closing.ts';
import { findSender, type SendingMailbox } from '../../core/store/senders.ts';
import { setMailboxWebhook } from '../../core/store/webhooks.ts';
import { isOverseer, quoted } from '../access/code-mail.ts';
import { label, modeName } from '../input/kinds.ts';
import { aiDisclosure, approvalCode, mailboxName } from '../input/kinds-of-mailbox.ts';
import { requireSafeTarget, webhookUrl } from '../input/webhook-target.ts';
import { type Call, operation } from '../operation.ts';
import { invalid, notFound, Problem } from '../problem.ts';
import { Mailbox, mailboxView } from '../views/mailbox.ts';

/** The mailbox a path names by id or address, if the caller may see it. */
export async function namedMailbox(named: string, { runtime, caller }: Call): Promise<SendingMailbox> {
  const found = await findSender(runtime.database, named);
  if (found === undefined || (caller.onlyMailbox !== null && caller.onlyMailbox !== found.id))
    throw notFound('There is no such mailbox.');
  return found;
}

export const listAllMailboxes = operation({
  name: 'list_mailboxes',
  summary: 'The mailboxes a key may see',
  area: 'mailboxes',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes',
  input: z.object({}),
  output: z.object({ mailboxes: z.array(Mailbox) }),
  tool: {
    description: 'List the mailboxes you can use, with the oversight mode and the other settings of each.',
    takes: [],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(_, { runtime, caller }) {
    const { pool } = runtime.database;
    const [all, account] = await Promise.all([listMailboxes(pool), readAccount(pool)]);
    const seen = all.filter(({ id }) => caller.onlyMailbox === null || id === caller.onlyMailbox);
    return { mailboxes: seen.map((one) => mailboxView(one, account.id)) };
  },
});

export const showMailbox = operation({
  name: 'get_mailbox',
  summary: 'One mailbox',
  area: 'mailboxes',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id',
  input: z.object({ mailbox_id: mailboxName }),
  output: Mailbox,
  async handle({ mailbox_id }, call) {
    const mailbox = await namedMailbox(mailbox_id, call);
    return mailboxView(mailbox, (await readAccount(call.runtime.database.pool)).id);
  },
});

export const addMailbox = operation({
  name: 'create_mailbox',
  summary: 'Make a mailbox; by key it starts no looser than gated_send',
  area: 'mailboxes',
  access: 'admin',
  method: 'POST',
  path: '/v1/mailboxes',
  status: 201,
  input: z.object({
    address_local: z
      .string()
      .min(1)
      .max(320)
      .describe(
        'What stands before the @, at the domain of the first mailbox; or a whole address at a domain of ours',
      ),
    display_name: label.nullable().optional(),
    oversight_mode: modeName.optional(),
    webhook_url: webhookUrl.nullable().optional(),
    ai_disclosure: aiDisclosure,
    approval_code: approvalCode,
  }),
  output: z.object({
    id: z.string(),
    address: z.string(),
    display_name: z.string().nullable(),
    oversight_mode: z.string(),
    requested_oversight_mode: z.string().optional(),
    note: z.string().optional(),
  }),
  tool: {
    description:
      'Make a new mailbox. It starts with oversight mode gated_send: a person approves what it sends. The first call mails a code to the operator; ask the person for it and repeat the call with that approval_code.',
    takes: ['address_local_part', 'display_name', 'approval_code'],
    hints: [],
  },
  // All that could refuse it comes before a person is asked.
  async guard(input, call) {
    await freeAddress(input.address_local, call);
    if (input.webhook_url != null) await requireSafeTarget(input.webhook_url, 'webhook_url', call);
    return 'medium';
  },
  asks: ({ address_local, webhook_url }) =>
    `make the mailbox ${quoted(address_local)}${
      webhook_url == null ? '' : ` and tell ${quoted(webhook_url)} of all its mail`
    }`,
  async handle(input, call) {
    const { runtime, caller } = call;
    const asked = (input.oversight_mode ?? 'gated_send') as Mode;
    const mode = strictest('gated_send', asked);
    const address = await freeAddress(input.address_local, call);
    const made = await runtime.database.transaction(async (db) => {
      const settings = { address, displayName: input.display_name ?? null, oversightMode: mode };
      const mailbox = await createMailbox(db, { ...settings, mcpConfigured: false }, caller.actor);
      if (mailbox !== undefined && input.webhook_url != null)
        await setMailboxWebhook(db, mailbox.id, 'webhook_url', input.webhook_url, caller.actor);
      return mailbox;
    });
    if (made === undefined) throw addressInUse();
    return {
      id: made.id,
      address: made.address,
      display_name: made.displayName,
      oversight_mode: made.oversightMode,
      ...(mode !== asked && {
        requested_oversight_mode: asked,
        note: `It starts as ${mode}. A person can loosen it: request-upgrade mails them a code.`,
      }),
    };
  },
});

/** The address that is meant, if nobody has or had it. */
async function freeAddress(given: string, { runtime }: Call): Promise<Address> {
  const { pool } = runtime.database;
  const known = await openDomains(pool);
  // Before there is any mailbox or domain, the gateway's own name is all we know of.
  const domains = known.length > 0 ? known : [runtime.config.hostname.toLowerCase()];
  const text = given.trim();
  const parsed = parseAddress(text.includes('@') ? text : `${text}@${domains[0]}`, { smtputf8: true });
  if (!parsed.ok) throw badAddress('is no address, nor the part of one before the @');
  if (!domains.includes(domainOf(parsed.address)))
    throw badAddress(`must be at a domain that is ours: ${domains.slice(0, 10).join(', ')}`);
  if (await isAddressTaken(pool, parsed.address)) throw addressInUse();
  if (await isOverseer(pool, parsed.address)) throw overseen();
  return parsed.address;
}

function badAddress(message: string): Problem {
  return invalid(400, 'invalid_address', [{ field: 'address_local', message }]);
}

function addressInUse(): Problem {
  return new Problem(
    409,
    'address_in_use',
    'This address is, or was, given to a mailbox: it is never given to another.',
    { field: 'address_local' },
  );
}

function overseen(): Problem {
  return new Problem(
    409,
    'address_in_use',
    'Codes and notices go to this address: in a mailbox here, programs could read them.',
    { field: 'address_local' },
  );
}

export const removeMailbox = operation({
  name: 'delete_mailbox',
  summary: 'Close a mailbox for good; what waits in it is cancelled',
  area: 'mailboxes',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/mailboxes/:mailbox_id',
  input: z.object({ mailbox_id: mailboxName }),
  output: z.object({ status: z.literal('deleted') }),
  tool: {
    description:
      'Close a mailbox for good: what waits in it is cancelled, its keys and logins end, and its address is never given out again.',
    takes: ['mailbox_id'],
    requires: ['mailbox_id'],
    hints: ['destructive', 'idempotent'],
  },
  async handle({ mailbox_id }, call) {
    const { id } = await namedMailbox(mailbox_id, call);
    if (!(await deleteMailbox(call.runtime.database, id, call.caller.actor)))
      throw notFound('There is no such mailbox.');
    return { status: 'deleted' as const };
  },
});

export const mailboxOperations = [listAllMailboxes, showMailbox, addMailbox, removeMailbox];
