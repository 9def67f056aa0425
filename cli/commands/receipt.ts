/** `postern receipt verify`: whether an approval was given as a receipt says; offline too. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { readToken } from '../../core/mail/token.ts';
import { command, group } from '../command.ts';
import { Failure, facts, say } from '../output.ts';
import { publishedKeys } from '../published-keys.ts';
import type { Common } from '../settings.ts';

export function addReceiptCommands(program: Command): void {
  const receipt = group(program, 'receipt', 'receipts of approvals');
  command(receipt, 'verify <receipt>', 'check the receipt of an approval; - reads it from standard input')
    .option('--digest <hex>', 'the content_digest that the approval has to be for')
    .option(
      '--key <file>',
      'check offline, by a copy of /.well-known/multimail-signing-key or a PEM public key',
    )
    .option('--url <url>', 'address of the Postern whose keys count (POSTERN_URL)')
    .action(verify);
}

async function verify(
  given: string,
  { key, digest, ...options }: Common & { digest?: string },
): Promise<void> {
  const text = (given === '-' ? readFileSync(0, 'utf8') : given).trim();
  const { keys, from } = await publishedKeys(key, options);
  const token = readToken(text, (kid) => keys(kid)?.key);
  if (token === undefined || typeof token.payload.approval !== 'string')
    throw new Failure('this is no receipt of an approval', { code: 'not_a_receipt' });
  const { payload, kid, signature } = token;
  if (signature === 'unknown_key')
    throw new Failure(`the receipt is signed by a key that ${from} does not know`, { code: 'unknown_key' });
  if (signature === 'invalid')
    throw new Failure('the signature does not fit: the receipt was changed or made up', {
      code: 'invalid_signature',
    });
  if (digest !== undefined && digest.toLowerCase() !== payload.content_digest)
    throw new Failure(`the approval was for other content: ${String(payload.content_digest)}`, {
      code: 'content_changed',
    });
  say(options, { valid: true, ...payload }, () =>
    facts([
      ['approval', String(payload.approval)],
      ['approved by', String(payload.approver)],
      ['at', String(payload.at)],
      ['content digest', String(payload.content_digest)],
      ['policy', payload.policy_hash == null ? undefined : String(payload.policy_hash)],
      ['signed by key', kid ?? ''],
    ]),
  );
}
