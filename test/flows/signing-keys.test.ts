import { afterEach, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newSigningKey, readToken } from '../../core/mail/token.ts';
import { openSigner } from '../../core/runtime/signer.ts';
import { readSigningKeys, rotateSigningKey } from '../../core/store/signing-keys.ts';
import { type TestRuntime, testRuntime } from '../support/runtime.ts';

let runtime: TestRuntime;
afterEach(() => runtime.close());

async function until(probe: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await probe()); tries++) {
    if (tries > 500) throw new Error('waited in vain');
    await new Promise((go) => setTimeout(go, 10));
  }
}

test('processes that start at once sign with one key', async () => {
  runtime = await testRuntime();
  const { database, listening } = runtime;
  const signers = Array.from({ length: 5 }, () => openSigner(database, listening));
  const kids = await Promise.all(signers.map(async (signer) => (await signer.sign({ said: 'it' })).kid));
  expect(new Set(kids).size).toBe(1);
  expect(await readSigningKeys(database.pool)).toHaveLength(1);
});

test('what was signed before a rotation still holds, and every process signs with the new key', async () => {
  runtime = await testRuntime();
  const { database, signer } = runtime;
  const before = await signer.sign({ said: 'it' });
  await runtime.listening.ready();

  const fresh = newSigningKey();
  const previous = await database.transaction((db) => rotateSigningKey(db, fresh, system('cli')));
  expect(previous).toBe(before.kid);
  await until(async () => (await signer.current()).kid === fresh.kid);

  const known = await signer.keys();
  expect(known.map(({ kid, retiredAt }) => [kid, retiredAt !== null])).toEqual([
    [fresh.kid, false],
    [before.kid, true],
  ]);
  const keyCalled = (kid: string) => known.find((key) => key.kid === kid)?.publicKey;
  expect(readToken(before.token, keyCalled)).toMatchObject({ signature: 'valid', payload: { said: 'it' } });
});

test('a rotation is audited, and the retired key can sign no more', async () => {
  runtime = await testRuntime();
  const { database, signer } = runtime;
  const { kid } = await signer.sign({});
  const fresh = newSigningKey();
  await database.transaction((db) => rotateSigningKey(db, fresh, system('cli')));
  const retired = (await readSigningKeys(database.pool)).find((key) => key.kid === kid);
  expect(retired?.privateKey).toBeNull();
  const { rows } = await database.pool.query(
    `select action, resource_id, metadata from audit_events where action = 'identity.key_rotated'`,
  );
  expect(rows).toEqual([
    { action: 'identity.key_rotated', resource_id: fresh.kid, metadata: { previous: kid } },
  ]);
});
