/** `postern audit verify`: whether the log still is what its checkpoints say. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { publicKeyOf } from '../../core/mail/token.ts';
import { type KeptCheckpoint, type Verification, verifyLog } from '../../core/store/audit-verification.ts';
import { readSigningKeys } from '../../core/store/signing-keys.ts';
import { command } from '../command.ts';
import { Failure, misuse, say } from '../output.ts';
import type { Common } from '../settings.ts';
import { withStore } from '../store.ts';

export function addAuditVerifyCommand(audit: Command): void {
  command(audit, 'verify', 'check every event against the checkpoints, on the gateway itself')
    .option(
      '--against <file>',
      'checkpoints kept elsewhere, as the API told them: finds a log that was cut short',
    )
    .action(verify);
}

async function verify(options: Common & { against?: string }): Promise<void> {
  const kept = options.against === undefined ? [] : readKept(options.against);
  const result = await withStore(options, async ({ database }) => {
    const keys = new Map(
      (await readSigningKeys(database.pool)).map(({ kid, publicJwk }) => [kid, publicKeyOf(publicJwk)]),
    );
    return verifyLog(database.pool, (kid) => keys.get(kid), kept);
  });
  if (result.findings.length > 0)
    throw new Failure(result.findings.map(({ text }) => text).join('\n'), { code: 'audit_not_intact' });
  say(options, result, () => summary(result, kept.length));
}

function summary({ checkpoints, events, open }: Verification, kept: number): string {
  const compared = kept === 0 ? '' : `; ${kept} kept elsewhere agree`;
  return `the audit log is intact: ${events} events in ${checkpoints} checkpoints, ${open} not yet in one${compared}`;
}

/** One checkpoint, a list of them, or the answer of /v1/audit-checkpoints. */
function readKept(file: string): KeptCheckpoint[] {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (err) {
    throw misuse(`${file} cannot be read: ${err instanceof Error ? err.message : String(err)}`);
  }
  const { checkpoints = value } = (value ?? {}) as { checkpoints?: unknown };
  const list = [checkpoints].flat() as Partial<KeptCheckpoint>[];
  return list.map((one) => {
    if (typeof one?.id !== 'string' || typeof one.hash !== 'string')
      throw misuse(`${file} holds no checkpoints`, 'save the answer of GET /v1/audit-checkpoints');
    return { id: one.id, hash: one.hash };
  });
}
