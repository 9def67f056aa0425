/**
 * The upgrade ladder, the only way by which a program's call loosens a mailbox:
 *
 *   request-upgrade ─▶ a code goes to a person by mail ─▶ they give it to the agent ─▶ upgrade {code}
 *
 * The code is for one mailbox, one target, and the mode it had when it was asked for.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { MODES, type Mode } from '../../core/mail/mode.ts';
import { readAccount } from '../../core/store/account.ts';
import { loosens, type MailboxFacts, setMode } from '../../core/store/accounts.ts';
import { tryCode } from '../../core/store/operator-codes.ts';
import { noteUpgradeRequest } from '../../core/store/upgrades.ts';
import { codeAddress, mailCode, quoted } from '../access/code-mail.ts';
import { requireRate } from '../access/limiter.ts';
import { invalidCode } from '../access/operator-codes.ts';
import { mailboxName } from '../input/kinds-of-mailbox.ts';
import { type Call, operation } from '../operation.ts';
import { invalid, Problem } from '../problem.ts';
import { namedMailbox } from './mailboxes.ts';

const LIFE_SECONDS = 86_400;
const REQUESTS_AN_HOUR = 3;

/** What each mode means, to the person who is asked for it. */
const MEANING: Record<Mode, string> = {
  autonomous: 'its mail leaves at once and nobody is shown it',
  monitored: 'its mail leaves at once, and you get a copy',
  gated_send: 'a person approves each message before it leaves',
  gated_all: 'a person approves each message, incoming ones too',
  read_only: 'it sends nothing',
};

const Requested = z.object({
  status: z.literal('upgrade_requested'),
  mailbox_id: z.string(),
  target_mode: z.string(),
  masked_email: z.string(),
  expires_at: z.string(),
});
const Upgraded = z.object({
  status: z.literal('upgraded'),
  mailbox_id: z.string(),
  oversight_mode: z.string(),
  previous_mode: z.string(),
});

// Read as text: a mode there is not is no upgrade, like one that is tighter.
const targetMode = z
  .string()
  .min(1)
  .max(64)
  .describe(`Looser than the mailbox is: ${MODES.join(', ')}`);
const code = z
  .string()
  .min(1)
  .max(16)
  .describe('As the mail shows it; case, hyphens and blanks mean nothing');

export const requestUpgrade = operation({
  name: 'request_upgrade',
  summary: 'Ask a person to loosen a mailbox: a code is mailed to them, never to the caller',
  area: 'mailboxes',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/mailboxes/:mailbox_id/request-upgrade',
  input: z.object({ mailbox_id: mailboxName, target_mode: targetMode }),
  output: Requested,
  handle: ({ mailbox_id, target_mode }, call) => request(mailbox_id, target_mode, call),
});

export const applyUpgrade = operation({
  name: 'apply_upgrade',
  summary: 'Loosen a mailbox with the code that a person was mailed',
  area: 'mailboxes',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/mailboxes/:mailbox_id/upgrade',
  input: z.object({ mailbox_id: mailboxName, code }),
  output: Upgraded,
  handle: ({ mailbox_id, code }, call) => apply(mailbox_id, code, call),
});

export const manageUpgrade = operation({
  name: 'manage_upgrade',
  summary: 'The upgrade ladder in one: ask for a looser mode, then apply it with the code',
  area: 'mailboxes',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/manage_upgrade',
  input: z.object({
    mailbox_id: mailboxName,
    action: z.enum(['request', 'apply']),
    target_mode: z
      .enum(['gated_all', 'gated_send', 'monitored', 'autonomous'])
      .optional()
      .describe('For request: the mode to ask for'),
    code: code.optional().describe('For apply: what the person read in the mail'),
  }),
  output: z.union([Requested, Upgraded]),
  tool: {
    description:
      'Loosen the oversight of a mailbox in two steps. action "request" with target_mode mails a one-time code to the person who oversees it, never to you. When they give you the code, action "apply" with it changes the mode. Do not ask for this unless the person wants it.',
    takes: ['action', 'target_mode', 'code', 'mailbox_id'],
    hints: [],
  },
  async handle({ mailbox_id, action, target_mode, code }, call) {
    if (action === 'request') return request(mailbox_id, required('target_mode', target_mode), call);
    return apply(mailbox_id, required('code', code), call);
  },
});

function required(field: string, value: string | undefined): string {
  if (value === undefined) throw invalid(400, 'missing_field', [{ field, message: 'is missing' }]);
  return value;
}

async function request(named: string, target: string, call: Call): Promise<z.input<typeof Requested>> {
  const mailbox = await namedMailbox(named, call);
  const { runtime, caller } = call;
  const mode = looserMode(mailbox, target);
  const account = await readAccount(runtime.database.pool);
  const to = await codeAddress(runtime.database.pool, mailbox.oversightAddress ?? account.oversightAddress);
  await requireRate(runtime, 'upgrades', mailbox.id, REQUESTS_AN_HOUR, 3600);
  const sent = await mailCode(
    call,
    {
      purpose: 'upgrade',
      subjectId: mailbox.id,
      operation: mode,
      boundTo: bindingOf(mailbox, mode),
      words: `change the mailbox ${quoted(mailbox.address)} from ${mailbox.oversightMode} to ${mode}: ${MEANING[mode]}`,
      lifeSeconds: LIFE_SECONDS,
      replaces: true,
      mailboxId: mailbox.id,
    },
    to,
    (db) => noteUpgradeRequest(db, mailbox, mode, caller.actor),
  );
  return {
    status: 'upgrade_requested',
    mailbox_id: mailbox.id,
    target_mode: mode,
    masked_email: sent.maskedEmail,
    expires_at: sent.expiresAt.toISOString(),
  };
}

function looserMode({ oversightMode }: MailboxFacts, target: string): Mode {
  const mode = MODES.find((name) => name === target);
  if (mode !== undefined && loosens(oversightMode, mode)) return mode;
  const looser = MODES.slice(0, MODES.indexOf(oversightMode)).reverse();
  throw new Problem(
    400,
    'not_an_upgrade',
    looser.length === 0
      ? `The mailbox is ${oversightMode}: there is no looser mode.`
      : `The mailbox is ${oversightMode}; looser than that are ${looser.join(', ')}.`,
    { field: 'target_mode', oversight_mode: oversightMode },
  );
}

async function apply(named: string, code: string, call: Call): Promise<z.input<typeof Upgraded>> {
  const mailbox = await namedMailbox(named, call);
  const { runtime, caller } = call;
  const { secret } = await readAccount(runtime.database.pool);
  const done = await runtime.database.transaction(async (db) => {
    const tried = await tryCode(
      db,
      {
        purpose: 'upgrade',
        subjectId: mailbox.id,
        code,
        boundTo: (target) => bindingOf(mailbox, target),
        mailboxId: mailbox.id,
      },
      secret,
      caller.actor,
    );
    if (tried.result !== 'used') return tried;
    const onlyFrom = mailbox.oversightMode;
    const changed = await setMode(db, mailbox.id, tried.operation as Mode, caller.actor, { onlyFrom });
    // Somebody tightened it in this very moment: the code was for what it was before.
    if (changed?.mode !== tried.operation) throw invalidCode();
    return { result: 'upgraded' as const, mode: changed.mode, previous: changed.previous };
  });
  if (done.result === 'unasked')
    throw new Problem(404, 'no_pending_upgrade', 'No upgrade of this mailbox was asked for.');
  if (done.result !== 'upgraded') throw invalidCode();
  return {
    status: 'upgraded',
    mailbox_id: mailbox.id,
    oversight_mode: done.mode,
    previous_mode: done.previous,
  };
}

function bindingOf({ id, oversightMode }: MailboxFacts, target: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(['upgrade', id, oversightMode, target]))
    .digest();
}

export const upgradeOperations = [requestUpgrade, applyUpgrade, manageUpgrade];
