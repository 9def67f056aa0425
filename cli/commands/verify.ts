/** `postern verify`: whether a message, or the token of one, is what it says it is. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import {
  type BoundChecks,
  type Verdict,
  verifyIdentity,
  verifyMessage,
} from '../../core/mail/verify-identity.ts';
import { normalise } from '../../core/mail/wire.ts';
import { command } from '../command.ts';
import { Failure, facts, say, when } from '../output.ts';
import { publishedKeys } from '../published-keys.ts';
import type { Common } from '../settings.ts';

const TOKEN = /^[\w-]+\.[\w-]+$/;
const CHECKS = {
  message_id: 'Message-ID',
  recipients: 'recipients (To, Cc)',
  subject: 'subject',
  body: 'body',
} as const;

export function addVerifyCommand(program: Command): void {
  command(
    program,
    'verify <file>',
    'check who sent a message: its file as received, or a token; - reads standard input',
  )
    .option(
      '--key <file>',
      'check offline, by a copy of /.well-known/multimail-signing-key or a PEM public key',
    )
    .option('--url <url>', 'address of the Postern whose keys count (POSTERN_URL)')
    .action((file: string, options: Common) => verify(file, options));
}

async function verify(file: string, { key, ...options }: Common): Promise<void> {
  const bytes = read(file);
  const { keys, from } = await publishedKeys(key, options);
  const token = tokenIn(bytes);
  const verdict = token === undefined ? verifyMessage(normalise(bytes), keys) : verifyIdentity(token, keys);
  const { unknownKey: _, ...told } = verdict;
  const holds = verdict.valid && Object.values(verdict.bound).every((one) => one !== false);
  say(options, { verified: holds, ...told }, () => linesOf(verdict, holds, from));
  if (!holds) process.exitCode = 1;
}

function read(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file);
  } catch (err) {
    throw new Failure(`${file} cannot be read: ${(err as Error).message}`, { code: 'no_file' });
  }
}

/** The token, where the file is nothing else: bare, as a header field, or a verify link. */
function tokenIn(bytes: Buffer): string | undefined {
  if (bytes.length > 65_536) return undefined;
  const text = bytes
    .toString('latin1')
    .replace(/^\s*X-MultiMail-Identity:/i, '')
    .replace(/\s+/g, '');
  const token = text.slice(text.indexOf('#') + 1);
  return TOKEN.test(token) ? token : undefined;
}

function linesOf({ valid, reason, payload, bound }: Verdict, holds: boolean, from: string): string[] {
  if (!valid) return [`NOT VERIFIED: ${reason}`];
  const first = holds
    ? `VERIFIED by the keys of ${from}`
    : 'NOT VERIFIED: the token is genuine, but this is not what was signed.';
  return [first, facts([...said(payload!), ...compared(bound)])];
}

function said(payload: Record<string, unknown>): [string, unknown][] {
  const { ai_generated, composer, operator_name, service, oversight_mode, approval, iat, mid } = payload;
  return [
    [
      'written by',
      ai_generated === true
        ? `an AI agent${composer === null ? '' : `, ${composer}`}`
        : 'a person, or Postern itself',
    ],
    ['operator', operator_name],
    ['domain', payload.verified_operator === true ? "proved to be the operator's" : 'not proved'],
    ['gateway', service],
    ['oversight', oversight_mode],
    ['approval', approvalOf(approval)],
    ['signed', when(Number(iat) * 1000)],
    ['message', mid],
  ];
}

function approvalOf(approval: unknown): string {
  if (approval === undefined) return 'not known when the link was made';
  if (typeof approval !== 'object' || approval === null) return 'none was needed';
  const { by, at } = approval as { by?: unknown; at?: unknown };
  return `${by === 'person' ? 'by a person' : 'by the allowlist'}, ${when(at) ?? 'at no time that can be read'}`;
}

function compared(bound: BoundChecks): [string, unknown][] {
  return Object.entries(CHECKS)
    .map(([name, words]): [string, boolean | null] => [words, bound[name as keyof BoundChecks]])
    .filter(([, same]) => same !== null)
    .map(([words, same]) => [words, same ? 'as signed' : 'CHANGED']);
}
