/** The code by which somebody without a key decides one message: mailed to its oversight address, good for it as it is. */
import { createHash } from 'node:crypto';
import { type Actor, system } from '../../core/mail/actor.ts';
import { oneLine, plainTime } from '../../core/mail/text.ts';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { readAccount } from '../../core/store/account.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import type { MessageRecord } from '../../core/store/messages.ts';
import { sendNotice } from '../../core/store/notices.ts';
import { issueCode, tryCode } from '../../core/store/operator-codes.ts';
import { codeAddress } from '../access/code-mail.ts';
import { requireRate } from '../access/limiter.ts';
import { invalidCode } from '../access/operator-codes.ts';

const LIFE_SECONDS = 900;
const MAILS_AN_HOUR = 5;

type House = Pick<Runtime, 'config' | 'database' | 'bells'>;

/** Who decides by code: the mailbox's oversight address, else the account's. Throws the 409 when neither will do. */
export async function overseerOf(message: MessageRecord, { database }: House): Promise<string> {
  const mailbox = await findMailbox(database.pool, message.mailboxId, { deleted: true });
  const { oversightAddress } = await readAccount(database.pool);
  return codeAddress(database.pool, mailbox?.oversightAddress ?? oversightAddress);
}

/** Mails a code to `overseer`; throws the 429 after a few in an hour. */
export async function mailApprovalCode(
  message: MessageRecord,
  overseer: string,
  { config, database, bells }: House,
): Promise<void> {
  await requireRate({ database }, 'approval-codes', message.id, MAILS_AN_HOUR, 3600);
  const { secret } = await readAccount(database.pool);
  const actor = system('api');
  const wanted = {
    purpose: 'operation' as const,
    subjectId: message.id,
    operation: 'decide_by_link',
    boundTo: bindingOf(message, overseer),
    requestedBy: message.id,
    words: 'decide on a held message',
    lifeSeconds: LIFE_SECONDS,
    mailboxId: message.mailboxId,
  };
  const notice = await database.transaction(async (db) => {
    const { code, expiresAt } = await issueCode(db, wanted, secret, actor);
    return sendNotice(db, {
      hostname: config.hostname,
      to: overseer,
      subject: `Your code to decide: ${oneLine(message.subject, 200)}`,
      text: textOf(message, code, expiresAt, config.hostname),
      actor,
    });
  });
  bells.ring('delivery', [notice]);
}

/** Spends a code. Throws the 403 for one that is wrong, spent, dead, or was for something else. */
export async function useApprovalCode(
  message: MessageRecord,
  overseer: string,
  code: string,
  actor: Actor,
  { database }: House,
): Promise<void> {
  const { secret } = await readAccount(database.pool);
  const tried = {
    purpose: 'operation' as const,
    subjectId: message.id,
    code,
    boundTo: () => bindingOf(message, overseer),
    mailboxId: message.mailboxId,
  };
  const { result } = await database.transaction((db) => tryCode(db, tried, secret, actor));
  if (result !== 'used') throw invalidCode();
}

function bindingOf({ id, digest }: MessageRecord, overseer: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(['decide_by_link', id, digest, overseer]))
    .digest();
}

function textOf(message: MessageRecord, code: string, expiresAt: Date, hostname: string): string {
  return [
    `Somebody has the page open on which you decide whether the mail gateway ${hostname}`,
    'lets this message pass:',
    '',
    `    From:    ${oneLine(message.reversePath, 320) || '<>'}`,
    `    To:      ${oneLine(message.forwardPaths.slice(0, 5).join(', '), 600)}`,
    `    Subject: ${oneLine(message.subject, 200)}`,
    '',
    'If that is you, this is your code:',
    '',
    `    ${code}`,
    '',
    `It works once, for this message as it is now, until ${plainTime(expiresAt)} (15 minutes).`,
    '',
    'If you did not ask for it, do nothing: without the code nothing is decided.',
    'Somebody has the link that was mailed to you. Never pass the code on.',
    '',
  ].join('\n');
}
