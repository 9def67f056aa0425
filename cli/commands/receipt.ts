/** `postern receipt verify`: whether an approval was given as a receipt says, without asking anyone. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { type PublicJwk, publicKeyOf, readToken } from '../../core/mail/token.ts';
import { group } from '../command.ts';
import { Failure, facts, misuse, say } from '../output.ts';

interface Options {
  keys: string;
  digest?: string;
  json?: boolean;
}

export function addReceiptCommands(program: Command): void {
  group(program, 'receipt', 'receipts of approvals')
    .command('verify <receipt>')
    .description('check the receipt of an approval, offline; "-" reads it from standard input')
    .requiredOption('--keys <file>', 'the published keys, as GET /.well-known/multimail-signing-key answered')
    .option('--digest <hex>', 'the content that the approval has to be for')
    .option('--json', 'answer in JSON')
    .action(verify);
}

function verify(receipt: string, options: Options): void {
  const text = receipt === '-' ? readFileSync(0, 'utf8') : receipt;
  const keys = new Map(readKeys(options.keys).map((jwk) => [jwk.kid, publicKeyOf(jwk)]));
  const token = readToken(text.trim(), (kid) => keys.get(kid));
  if (token === undefined || typeof token.payload.approval !== 'string')
    throw new Failure('this is no receipt of an approval', { code: 'not_a_receipt' });
  if (token.signature !== 'valid')
    throw new Failure(
      token.signature === 'unknown_key'
        ? `the receipt is signed by a key that ${options.keys} does not hold (${token.kid ?? 'none named'})`
        : 'the signature does not fit: the receipt was changed or made up',
      { code: token.signature },
    );
  const { payload } = token;
  if (options.digest !== undefined && options.digest.toLowerCase() !== payload.content_digest)
    throw new Failure(`the approval is for other content: ${String(payload.content_digest)}`, {
      code: 'content_changed',
    });
  say(options, { valid: true, ...payload }, () =>
    facts([
      ['approval', String(payload.approval)],
      ['approved by', String(payload.approver)],
      ['at', String(payload.at)],
      ['content digest', String(payload.content_digest)],
      ['policy', payload.policy_hash === null ? undefined : String(payload.policy_hash)],
      ['signed by key', token.kid ?? ''],
    ]),
  );
}

/** The current key stands at the top, and with the retired ones in `keys`. */
function readKeys(file: string): PublicJwk[] {
  try {
    const published = JSON.parse(readFileSync(file, 'utf8')) as PublicJwk & { keys?: PublicJwk[] };
    return published.keys ?? [published];
  } catch (err) {
    throw misuse(`${file} cannot be read: ${err instanceof Error ? err.message : String(err)}`);
  }
}
