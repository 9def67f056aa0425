/** The account: one installation is one. */
import { z } from 'zod';
import type { Runtime } from '../../core/runtime/runtime.ts';
import {
  type AccountChanges,
  type AccountFacts,
  lockAccount,
  readAccount,
  storageUsed,
  updateAccount,
} from '../../core/store/account.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import { eraseAccount } from '../../core/store/erasure.ts';
import { usageByDay } from '../../core/store/usage.ts';
import { quoted } from '../access/code-mail.ts';
import { requireConfirmed } from '../access/operator-codes.ts';
import { label } from '../input/kinds.ts';
import { addressUpTo } from '../input/kinds-of-mailbox.ts';
import { type Call, operation, type Tier } from '../operation.ts';
import { invalid } from '../problem.ts';

const AccountInfo = z.object({
  id: z.string(),
  tenant_id: z.string(),
  name: z.string(),
  slug: z.string(),
  plan: z.string(),
  oversight_email: z.string().nullable(),
  physical_address: z.string().nullable(),
  monthly_email_quota: z.number().nullable(),
  emails_sent_this_month: z.number(),
  max_mailboxes: z.number().nullable(),
  storage_used_bytes: z.number(),
  max_storage_bytes: z.number().nullable(),
  is_active: z.boolean(),
  sending_disabled: z.boolean(),
  sending_disabled_reason: z.string().nullable(),
  enforcement_tier: z.string(),
  account: z.object({ id: z.string(), name: z.string(), slug: z.string() }),
});

const showAccount = operation({
  name: 'get_account',
  summary: 'The account, its limits, and what of them is used',
  area: 'account',
  access: 'read',
  method: 'GET',
  path: '/v1/account',
  input: z.object({}),
  output: AccountInfo,
  tool: {
    description:
      'Show the account: its name, the address that oversees it, its limits, and how much of them is used.',
    takes: [],
    hints: ['readOnly', 'idempotent'],
  },
  handle: (_, { runtime }) => accountView(runtime),
});

export async function accountView({ config, database }: Runtime): Promise<z.input<typeof AccountInfo>> {
  const db = database.pool;
  const now = new Date();
  const [one, storage, usage] = await Promise.all([
    readAccount(db),
    storageUsed(db),
    usageByDay(db, monthOf(now), now),
  ]);
  const sent = usage.filter(({ eventType }) => eventType === 'emails_sent');
  const { id, name, slug } = one;
  return {
    id,
    tenant_id: id,
    name,
    slug,
    plan: 'self_hosted',
    oversight_email: one.oversightAddress,
    physical_address: one.physicalAddress,
    monthly_email_quota: config.limits.monthly_sends ?? null,
    emails_sent_this_month: sent.reduce((sum, { count }) => sum + count, 0),
    max_mailboxes: null,
    storage_used_bytes: storage,
    max_storage_bytes: null,
    is_active: one.isActive,
    sending_disabled: one.sendingDisabled,
    sending_disabled_reason: one.sendingDisabledReason,
    enforcement_tier: one.sendingDisabled ? 'suspended' : 'normal',
    account: { id, name, slug },
  };
}

/** When the month of UTC began. */
export function monthOf(now: Date): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth()));
}

const postalAddress = z
  .string()
  .trim()
  .min(1)
  .max(2000)
  .refine((text) => !/[^\P{Cc}\n\r\t]/u.test(text), { error: 'control characters are not allowed here' })
  .transform((text) => text.replace(/\r\n?/g, '\n'));

const Changes = z.object({
  name: label.optional(),
  oversight_email: addressUpTo(320).optional(),
  physical_address: postalAddress.nullable().optional(),
  approval_code: z.string().max(16).optional(),
});

/** Those members that would become different. */
function changesOf(input: z.output<typeof Changes>, present: AccountFacts): AccountChanges {
  const asked = {
    name: input.name,
    oversightAddress: input.oversight_email,
    physicalAddress: input.physical_address,
  };
  const changed = Object.entries(asked).filter(
    ([name, value]) => value !== undefined && value !== present[name as keyof AccountChanges],
  );
  return Object.fromEntries(changed) as AccountChanges;
}

function tierOf(changes: AccountChanges): Tier | null {
  if (changes.oversightAddress != null) return 'high';
  return Object.keys(changes).length > 0 ? 'medium' : null;
}

/** What would become different, as the mail with the code says it. */
async function inWords(input: z.output<typeof Changes>, { runtime }: Call): Promise<string> {
  const changes = changesOf(input, await readAccount(runtime.database.pool));
  const { name, oversightAddress, physicalAddress } = changes;
  return [
    name !== undefined && `call the account ${quoted(name)}`,
    oversightAddress != null && `send codes and notices to ${quoted(oversightAddress)} from now on`,
    physicalAddress === null && 'remove the postal address of the account',
    physicalAddress != null && `set the postal address of the account to ${quoted(physicalAddress)}`,
  ]
    .filter((words) => words !== false)
    .join(' and ');
}

/** Codes that came to a mailbox of ours could be read by the programs that ask for them. */
async function requireOutside(address: string, { runtime }: Call): Promise<void> {
  const untagged = address.replace(/\+[^@]*(?=@)/, '');
  for (const one of [address, untagged])
    if ((await findMailbox(runtime.database.pool, one)) !== undefined)
      throw invalid(400, 'invalid_address', [
        {
          field: 'oversight_email',
          message: 'is a mailbox of this Postern, where programs could read codes',
        },
      ]);
}

const changeAccount = operation({
  name: 'update_account',
  summary: 'Change the name, the oversight address or the postal address; a person confirms it',
  area: 'account',
  access: 'admin',
  method: 'PATCH',
  path: '/v1/account',
  input: Changes,
  output: z.object({ status: z.literal('updated') }),
  tool: {
    description:
      'Change the name of the account, the address that oversees it, or the postal address under its mail. The first call mails a code to the present oversight address; repeat it with that approval_code.',
    takes: ['name', 'oversight_email', 'physical_address', 'approval_code'],
    hints: ['idempotent'],
  },
  async guard(input, call): Promise<Tier | null> {
    const changes = changesOf(input, await readAccount(call.runtime.database.pool));
    if (changes.oversightAddress != null) await requireOutside(changes.oversightAddress, call);
    return tierOf(changes);
  },
  asks: (input, call) => inWords(input, call),
  async handle(input, call) {
    await call.runtime.database.transaction(async (db) => {
      const changes = changesOf(input, await lockAccount(db));
      requireConfirmed(call, tierOf(changes));
      await updateAccount(db, changes, call.caller.actor);
    });
    return { status: 'updated' as const };
  },
});

const deleteAccount = operation({
  name: 'delete_account',
  summary: 'Erase the account: mail, contacts, allowlists, webhooks and keys; a person confirms it',
  area: 'account',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/account',
  input: z.object({ approval_code: z.string().max(16).optional() }),
  output: z.object({ status: z.literal('deleted') }),
  tool: {
    description:
      'Erase everything: mail, contacts, allowlists, webhooks and every key, this one too, and close the mailboxes. It cannot be undone. The first call mails a code to the operator; repeat it with that approval_code.',
    takes: ['approval_code'],
    hints: ['destructive', 'idempotent'],
  },
  guard: async () => 'high',
  asks: () => 'erase the account with all its mail, contacts, allowlists, webhooks and keys, for good',
  async handle(_, { runtime, caller }) {
    const { id } = await readAccount(runtime.database.pool);
    await eraseAccount(runtime.database, id, caller.actor);
    runtime.log.warn('the account was erased');
    return { status: 'deleted' as const };
  },
});

export const accountOperations = [showAccount, changeAccount, deleteAccount];
