/**
 * What can be changed of a mailbox. People's say over it is only ever widened here: loosening takes the ladder of
 * upgrade.ts. Who is copied or told needs a code, since a copy or a watcher may be lost by it.
 */
import { z } from 'zod';
import type { Mode } from '../../core/mail/mode.ts';
import { readAccount } from '../../core/store/account.ts';
import {
  lockMailbox,
  loosens,
  type MailboxChanges,
  type MailboxFacts,
  setMode,
  updateMailbox,
} from '../../core/store/accounts.ts';
import { setMailboxWebhook } from '../../core/store/webhooks.ts';
import { quoted } from '../access/code-mail.ts';
import { requireConfirmed } from '../access/operator-codes.ts';
import { label, modeName, truth } from '../input/kinds.ts';
import {
  aiDisclosure,
  approvalCode,
  mailboxName,
  plainAddress,
  signatureBlock,
} from '../input/kinds-of-mailbox.ts';
import { requireSafeTarget, webhookUrl } from '../input/webhook-target.ts';
import { type Call, operation, type Tier } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { Mailbox, mailboxView } from '../views/mailbox.ts';
import { namedMailbox } from './mailboxes.ts';

const common = {
  mailbox_id: mailboxName,
  oversight_mode: modeName.optional().describe('As tight as it is, or tighter'),
  display_name: label.nullable().optional(),
  auto_cc: plainAddress
    .nullable()
    .optional()
    .describe('Gets a visible copy of what is sent; null for nobody'),
  auto_bcc: plainAddress
    .nullable()
    .optional()
    .describe('Gets a hidden copy of what is sent; null for nobody'),
  signature_block: signatureBlock.optional(),
  ai_disclosure: aiDisclosure,
  approval_code: approvalCode,
};
const Updated = z.object({ status: z.literal('updated'), mailbox: Mailbox });

/** All that either operation may ask for. */
interface Wanted {
  mailbox_id: string;
  oversight_mode?: string | undefined;
  display_name?: string | null | undefined;
  auto_cc?: string | null | undefined;
  auto_bcc?: string | null | undefined;
  signature_block?: string | null | undefined;
  forward_inbound?: boolean | undefined;
  webhook_url?: string | null | undefined;
  oversight_webhook_url?: string | null | undefined;
  hold_expiry_hours?: number | undefined;
  default_gate_timing?: 'gate_first' | 'schedule_first' | undefined;
  scheduling_enabled?: boolean | undefined;
  mcp_configured?: boolean | undefined;
}

const WATCHED = ['auto_cc', 'auto_bcc', 'webhook_url', 'oversight_webhook_url'] as const;

function presentOf(mailbox: MailboxFacts): Record<(typeof WATCHED)[number], string | null> {
  return {
    auto_cc: mailbox.autoCc,
    auto_bcc: mailbox.autoBcc,
    webhook_url: mailbox.webhookUrl,
    oversight_webhook_url: mailbox.oversightWebhookUrl,
  };
}

function watchedChanges(wanted: Wanted, mailbox: MailboxFacts): (typeof WATCHED)[number][] {
  const present = presentOf(mailbox);
  return WATCHED.filter((name) => wanted[name] !== undefined && wanted[name] !== present[name]);
}

/** Refuses what is to be refused before a person is asked; setting a field to what it is needs nobody. */
async function guard(wanted: Wanted, call: Call): Promise<Tier | null> {
  const mailbox = await namedMailbox(wanted.mailbox_id, call);
  refuseLoosening(mailbox, wanted.oversight_mode as Mode | undefined);
  const changed = watchedChanges(wanted, mailbox);
  for (const name of ['webhook_url', 'oversight_webhook_url'] as const) {
    const url = wanted[name];
    if (url != null && changed.includes(name)) await requireSafeTarget(url, name, call);
  }
  return changed.length > 0 ? 'medium' : null;
}

function refuseLoosening(mailbox: MailboxFacts, asked: Mode | undefined): void {
  if (asked !== undefined && loosens(mailbox.oversightMode, asked)) throw upgradeRequired(mailbox, asked);
}

function upgradeRequired({ id, oversightMode }: MailboxFacts, asked: Mode): Problem {
  return new Problem(
    400,
    'upgrade_required',
    `${asked} is looser than ${oversightMode}, so a person has to agree: POST /v1/mailboxes/${id}/request-upgrade mails them a code.`,
    {
      field: 'oversight_mode',
      oversight_mode: oversightMode,
      upgrade: `/v1/mailboxes/${id}/request-upgrade`,
    },
  );
}

async function asks(wanted: Wanted, call: Call): Promise<string> {
  const mailbox = await namedMailbox(wanted.mailbox_id, call);
  const changes = watchedChanges(wanted, mailbox).map((name) =>
    wanted[name] === null ? `remove ${name}` : `set ${name} to ${quoted(String(wanted[name]))}`,
  );
  return `${changes.join(' and ')} in the mailbox ${quoted(mailbox.address)}`;
}

function changesOf(wanted: Wanted): MailboxChanges {
  const all: { [Name in keyof MailboxChanges]: MailboxChanges[Name] | undefined } = {
    displayName: wanted.display_name,
    autoCc: wanted.auto_cc,
    autoBcc: wanted.auto_bcc,
    forwardInbound: wanted.forward_inbound,
    signatureBlock: wanted.signature_block,
    holdExpiryHours: wanted.hold_expiry_hours,
    gateTiming: wanted.default_gate_timing,
    schedulingEnabled: wanted.scheduling_enabled,
    mcpConfigured: wanted.mcp_configured,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** In one transaction: a request that is refused changes nothing. */
async function change(wanted: Wanted, call: Call): Promise<z.input<typeof Updated>> {
  const { id } = await namedMailbox(wanted.mailbox_id, call);
  const { runtime, caller } = call;
  await runtime.database.transaction(async (db) => {
    const mailbox = await lockMailbox(db, id);
    if (mailbox === undefined) throw notFound('There is no such mailbox.');
    const changes = watchedChanges(wanted, mailbox);
    requireConfirmed(call, changes.length > 0 ? 'medium' : null);
    const mode = wanted.oversight_mode as Mode | undefined;
    if (mode !== undefined) {
      const changed = await setMode(db, id, mode, caller.actor, { onlyTighten: true });
      if (changed?.mode !== mode) throw upgradeRequired(mailbox, mode);
    }
    await updateMailbox(db, id, changesOf(wanted), caller.actor);
    for (const name of ['webhook_url', 'oversight_webhook_url'] as const)
      if (changes.includes(name)) await setMailboxWebhook(db, id, name, wanted[name] ?? null, caller.actor);
  });
  const after = await namedMailbox(id, call);
  const { id: tenantId } = await readAccount(runtime.database.pool);
  return { status: 'updated', mailbox: mailboxView(after, tenantId) };
}

export const changeMailbox = operation({
  name: 'update_mailbox',
  summary: 'Change a mailbox; its mode can only be tightened here',
  area: 'mailboxes',
  access: 'admin',
  confined: true,
  method: 'PATCH',
  path: '/v1/mailboxes/:mailbox_id',
  input: z.object({
    ...common,
    forward_inbound: truth.optional().describe('Forwards what comes in to the oversight address'),
    webhook_url: webhookUrl.nullable().optional().describe('Is told of all message events'),
    oversight_webhook_url: webhookUrl.nullable().optional().describe('Is told of all oversight events'),
    hold_expiry_hours: z.number().int().min(1).max(2160).optional(),
  }),
  output: Updated,
  tool: {
    description:
      'Change the settings of a mailbox. The oversight mode can only be tightened here; manage_upgrade loosens it. Changing who is copied mails a code to the operator: ask the person for it and repeat the call with that approval_code.',
    takes: [
      'display_name',
      'oversight_mode',
      'auto_cc',
      'auto_bcc',
      'forward_inbound',
      'signature_block',
      'approval_code',
    ],
    hints: ['idempotent'],
  },
  guard,
  asks,
  handle: change,
});

export const configureMailbox = operation({
  name: 'configure_mailbox',
  summary: 'The first settings of a mailbox; from then on it counts as set up',
  area: 'mailboxes',
  access: 'admin',
  confined: true,
  method: 'PATCH',
  path: '/v1/mailboxes/:mailbox_id/configure',
  input: z.object({
    ...common,
    default_gate_timing: z.enum(['gate_first', 'schedule_first']).optional(),
    scheduling_enabled: truth.optional(),
    mcp_configured: truth.default(true),
  }),
  output: Updated,
  tool: {
    description:
      'Set up a mailbox as the person you work for wants it: oversight mode (only tighter than it is), display name, copies, signature, when scheduled mail is reviewed. Call it once; then you are not asked again. Changing who is copied needs the code that the first call mails to the operator.',
    takes: [
      'oversight_mode',
      'display_name',
      'auto_cc',
      'auto_bcc',
      'signature_block',
      'default_gate_timing',
      'scheduling_enabled',
      'approval_code',
    ],
    hints: ['destructive', 'idempotent'],
  },
  guard,
  asks,
  handle: change,
});

export const mailboxSettingOperations = [changeMailbox, configureMailbox];
