/** `postern identity`: the key by which Postern signs what it says of mail. */
import type { Command } from 'commander';
import { newSigningKey } from '../../core/mail/token.ts';
import { readSigningKeys, rotateSigningKey } from '../../core/store/signing-keys.ts';
import { command, group } from '../command.ts';
import { say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { withStore } from '../store.ts';

export function addIdentityCommands(program: Command): void {
  const identity = group(
    program,
    'identity',
    'the key that signs the identity of mail, receipts and checkpoints',
  );
  command(identity, 'keys', 'list the key that signs and those it replaced').action(keys);
  command(identity, 'rotate', 'sign with a new key from now on; what the old one signed still holds').action(
    rotate,
  );
}

async function keys(options: Common): Promise<void> {
  await withStore(options, async ({ database }) => {
    const all = (await readSigningKeys(database.pool)).map(({ kid, createdAt, retiredAt }) => ({
      kid,
      created_at: createdAt.toISOString(),
      retired_at: retiredAt?.toISOString() ?? null,
    }));
    say(options, { keys: all }, () =>
      table(
        ['kid', 'made', 'retired'],
        all.map((key) => [key.kid, when(key.created_at), when(key.retired_at) ?? 'signs']),
        'no key yet: it is made when something is to be signed',
      ),
    );
  });
}

async function rotate(options: Common): Promise<void> {
  const fresh = newSigningKey();
  await withStore(options, async ({ database, actor }) => {
    const previous = await database.transaction((db) => rotateSigningKey(db, fresh, actor));
    say(options, { kid: fresh.kid, previous_kid: previous }, () => [
      `signs with ${fresh.kid} from now on`,
      ...(previous === null ? [] : [`${previous} is retired: it stays published, and what it signed holds`]),
    ]);
  });
}
