/** The mail that carries a code: who asks, what for, and what to do when nobody was expected to ask. */
import { mailboxKey } from '../../core/mail/address.ts';
import { maskedAddress } from '../../core/mail/code.ts';
import { oneLine, plainTime } from '../../core/mail/text.ts';
import { overseers, readAccount } from '../../core/store/account.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import type { Db } from '../../core/store/database.ts';
import { sendNotice } from '../../core/store/notices.ts';
import { type IssuedCode, issueCode, type NewCode } from '../../core/store/operator-codes.ts';
import type { Call } from '../operation.ts';
import { Problem } from '../problem.ts';

/** What somebody else wrote, as it may stand in a sentence of ours: on one line, in quotes, an address's length at most. */
export function quoted(text: string): string {
  return `"${oneLine(text, 320).replaceAll('"', "'")}"`;
}

/** Where codes go: to a person, and therefore never into a mailbox that keys can read. */
export async function codeAddress(db: Db, wanted: string | null): Promise<string> {
  if (wanted === null)
    throw new Problem(
      409,
      'no_oversight_address',
      'There is no oversight address to which a code could go: set account.oversight_address in the configuration.',
    );
  const named = landsAt(wanted).map((name) => findMailbox(db, name));
  if ((await Promise.all(named)).some((one) => one !== undefined))
    throw new Problem(
      409,
      'no_oversight_address',
      'The oversight address is a mailbox of this Postern, where programs could read the code. Set one outside it.',
    );
  return wanted;
}

/** Whether somebody oversees from the address: programs that read there would read what is meant for that person. */
export async function isOverseer(db: Db, address: string): Promise<boolean> {
  const taken = (await overseers(db)).flatMap(landsAt).map(mailboxKey);
  return taken.includes(mailboxKey(address));
}

/** The mailboxes in which mail to an address could end: mail to name+tag@ lands in name@. */
function landsAt(address: string): string[] {
  return [address, address.replace(/\+[^@]*@/, '@')];
}

/**
 * Makes a code and queues its mail, together or not at all. `wanted.words` says what the caller wants, after
 * "asks to"; `also` is written with it. What is told to the caller holds neither the code nor the address.
 */
export async function mailCode(
  { runtime, caller }: Call,
  wanted: Omit<NewCode, 'requestedBy'>,
  to: string,
  also?: (db: Db) => Promise<void>,
): Promise<{ maskedEmail: string; expiresAt: Date }> {
  const { secret } = await readAccount(runtime.database.pool);
  const { hostname } = runtime.config;
  const { notice, issued } = await runtime.database.transaction(async (db) => {
    const issued = await issueCode(db, { ...wanted, requestedBy: caller.key.id }, secret, caller.actor);
    await also?.(db);
    const text = codeText(wanted.words, issued, caller, hostname, wanted.lifeSeconds);
    const subject = `Your code: somebody asks to ${wanted.words}`;
    return { issued, notice: await sendNotice(db, { hostname, to, subject, text, actor: caller.actor }) };
  });
  runtime.bells.ring('delivery', [notice]);
  return { maskedEmail: maskedAddress(to), expiresAt: issued.expiresAt };
}

function codeText(
  words: string,
  { code, expiresAt }: IssuedCode,
  { key }: Call['caller'],
  hostname: string,
  lifeSeconds: number,
): string {
  const who = key.principalKind === 'user' ? 'The person' : 'The program';
  return [
    `${who} ${quoted(key.principalName)} asks the mail gateway ${hostname} to`,
    '',
    `    ${words}`,
    '',
    'If that is what you want, give them this code:',
    '',
    `    ${code}`,
    '',
    `It works once, for exactly this, until ${plainTime(expiresAt)} (${lifeInWords(lifeSeconds)}).`,
    '',
    'If you did not expect this, do nothing: without the code nothing happens.',
    'Then somebody has a key that they should not have. It can be revoked with',
    '',
    `    postern key revoke ${key.id}`,
    '',
    'Nobody will ever ask you for this code by phone, and Postern never asks',
    'for it by mail. Whoever does is not to be trusted with it.',
    '',
    `The key that asked: ${quoted(key.name)} (${key.prefix}...)`,
    '',
  ].join('\n');
}

function lifeInWords(seconds: number): string {
  return seconds >= 7200 ? `${Math.round(seconds / 3600)} hours` : `${Math.round(seconds / 60)} minutes`;
}
