/** kill -9 in the middle of an approval: it happened wholly or not at all, and no message leaves without one. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts';
import { type House, openHouse } from './house.ts';

let house: House;
let proxy: PostgresProxy;

beforeEach(async () => {
  house = await openHouse({ mode: 'gated_all' });
  proxy = await startPostgresProxy(house.databaseUrl);
});

afterEach(async () => {
  await house.close();
  await proxy.close();
});

for (const [point, approved] of [
  ['request', false],
  ['response', true],
] as const) {
  test(`an api that dies at the ${point} of an approval's commit has ${approved ? 'approved once' : 'approved nothing'}`, async () => {
    const gateway = await house.start('gateway');
    await house.start('policy');
    await house.start('delivery');
    const api = await house.start('api', { database: proxy.url });
    const id = await house.submit(gateway, 'asked');
    const digest = await heldDigest(id);
    const key = await house.reviewerKey();
    const held = proxy.hold('commit', point);
    const answer = fetch(`http://127.0.0.1:${api.bound.http}/v1/oversight/decide`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ email_id: id, action: 'approve', content_digest: digest }),
    }).catch((err: Error) => err);
    await held;
    await api.kill();
    expect(await answer).toBeInstanceOf(Error);

    if (approved) {
      await house.until('it to leave', () => house.sink.taken.length === 1, { hurry: true });
    } else {
      await house.hurry();
      await new Promise((done) => setTimeout(done, 2500));
      expect(await house.states()).toEqual({ held: 1 });
      expect(house.sink.taken).toEqual([]);
    }
    const approvals = await house.query('select from approvals where message_id = $1', [id]);
    expect(approvals).toHaveLength(approved ? 1 : 0);
  });
}

async function heldDigest(id: string): Promise<string> {
  let digest = '';
  await house.until('it to be held', async () => {
    const rows = await house.query<{ digest: string }>(
      `select encode(digest, 'hex') as digest from messages where id = $1 and state = 'held'`,
      [id],
    );
    digest = rows[0]?.digest ?? '';
    return digest !== '';
  });
  return digest;
}
