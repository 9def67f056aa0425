/**
 * kill -9 at named points of a message's journey, with real processes. What must hold at each: an accepted
 * message is delivered or shown as in doubt, nothing is sent twice unless that doubt is on record, and every
 * state the row went through stands in the audit log.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { needs } from '../support/needs.ts';
import type { PosternProcess } from '../support/postern-process.ts';
import { type PostgresProxy, startPostgresProxy } from '../support/postgres-proxy.ts';
import { startRedis } from '../support/redis.ts';
import { type House, openHouse } from './house.ts';

let house: House;
let proxy: PostgresProxy;

beforeEach(async () => {
  house = await openHouse();
  proxy = await startPostgresProxy(house.databaseUrl);
});

afterEach(async () => {
  await house.close();
  await proxy.close();
});

const delivered = (name: string) => house.sink.taken.filter((one) => one.name === name).length;

async function audit(id: string): Promise<string[]> {
  const rows = await house.query<{ action: string }>(
    'select action from audit_events where resource_id = $1 order by seq',
    [id],
  );
  return rows.map(({ action }) => action.replace('message.', ''));
}

async function stateOf(id: string): Promise<string | undefined> {
  return (await house.query<{ state: string }>('select state from messages where id = $1', [id]))[0]?.state;
}

/** Decides doubt as a person would: send it again. */
async function sendAgain(id: string, api: PosternProcess): Promise<void> {
  const key = await house.adminKey();
  const answer = await fetch(`http://127.0.0.1:${api.bound.http}/v1/emails/${id}/settle`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ outcome: 'retry', reason: 'asked for by the test' }),
  });
  expect(answer.status).toBe(200);
}

test('a gateway that dies after the commit and before its 250 loses nothing', async () => {
  const gateway = await house.start('gateway', { database: proxy.url });
  await house.start('policy');
  await house.start('delivery');
  const committed = proxy.hold('accept', 'response');
  const answer = house.submit(gateway, 'unanswered').catch((err: Error) => err);
  await committed;
  await gateway.kill();
  expect(await answer).toBeInstanceOf(Error); // no 250 was heard: the client will send it again

  await house.until('the committed one to leave', () => delivered('unanswered') === 1, { hurry: true });
});

test('a gateway that dies before its commit has promised nothing and keeps nothing', async () => {
  const gateway = await house.start('gateway', { database: proxy.url });
  const asked = proxy.hold('accept', 'request');
  const answer = house.submit(gateway, 'unheard').catch((err: Error) => err);
  await asked;
  await gateway.kill();
  expect(await answer).toBeInstanceOf(Error);
  expect(await house.states()).toEqual({});
});

test.skipIf(needs('redis-server'))(
  'a gateway that dies after its 250 and before the bell is heard loses nothing',
  async () => {
    const redis = await startRedis();
    const rung = await openHouse({ redis: redis.url });
    try {
      const gateway = await rung.start('gateway');
      await rung.start('policy');
      await rung.start('delivery');
      redis.freeze(); // the bell cannot reach it
      const id = await rung.submit(gateway, 'unrung');
      await gateway.kill();
      await redis.client.disconnect();
      redis.thaw();
      await rung.until('it to leave', () => rung.sink.taken.some(({ name }) => name === 'unrung'), {
        hurry: true,
      });
      expect(rung.sink.taken).toHaveLength(1);
      await rung.until(
        'its end to be written',
        async () =>
          (await rung.query('select from messages where id = $1 and state = $2', [id, 'relayed'])).length ===
          1,
      );
    } finally {
      await rung.close();
      await redis.stop();
    }
  },
);

for (const point of ['request', 'response'] as const) {
  test(`a policy worker that dies at the ${point} of its verdict leaves the message to the next`, async () => {
    const gateway = await house.start('gateway');
    const policy = await house.start('policy', { database: proxy.url });
    await house.start('delivery');
    const ruling = proxy.hold('rule', point);
    const id = await house.submit(gateway, 'judged');
    await ruling;
    await policy.kill();
    await house.start('policy');
    await house.until('it to leave', async () => (await stateOf(id)) === 'relayed', { hurry: true });
    expect(delivered('judged')).toBe(1);
    expect(await audit(id)).toEqual(['accepted', 'released', 'attempted', 'relayed']);
  });
}

test('a delivery worker that dies after its claim and before MAIL leaves doubt, not a second sending', async () => {
  const gateway = await house.start('gateway');
  const api = await house.start('api');
  await house.start('policy');
  const delivery = await house.start('delivery', { database: proxy.url });
  const claimed = proxy.hold('claim', 'response');
  const id = await house.submit(gateway, 'claimed');
  await claimed;
  await delivery.kill();
  await house.start('delivery');
  await house.until('doubt', async () => (await stateOf(id)) === 'in_doubt');
  expect(delivered('claimed')).toBe(0);

  await sendAgain(id, api);
  await house.until('it to leave', async () => (await stateOf(id)) === 'relayed');
  expect(delivered('claimed')).toBe(1);
  expect(await audit(id)).toEqual([
    'accepted',
    'released',
    'attempted',
    'in_doubt',
    'settled',
    'attempted',
    'relayed',
  ]);
});

test('a delivery worker that dies in the middle of DATA leaves doubt, not a second sending', async () => {
  const gateway = await house.start('gateway');
  await house.start('policy');
  const delivery = await house.start('delivery');
  const begun = new Promise<void>((resolve) => {
    house.sink.play = (point) => {
      if (point !== 'data') return 'go';
      resolve();
      return new Promise(() => {});
    };
  });
  const id = await house.submit(gateway, 'halfway', { bytes: 2_000_000 });
  await begun;
  await delivery.kill();
  house.sink.play = () => 'go';
  await house.start('delivery');
  await house.until('doubt', async () => (await stateOf(id)) === 'in_doubt');
  expect(delivered('halfway')).toBe(0);
});

test('a delivery worker that dies between the final dot and its reply leaves doubt, and the next hop has it once', async () => {
  const gateway = await house.start('gateway');
  await house.start('policy');
  const delivery = await house.start('delivery');
  const dotted = new Promise<void>((resolve) => {
    house.sink.play = (point) => {
      if (point !== 'dot') return 'go';
      resolve();
      return new Promise(() => {});
    };
  });
  const id = await house.submit(gateway, 'dotted');
  await dotted;
  await delivery.kill();
  house.sink.play = () => 'go';
  await house.start('delivery');
  await house.until('doubt', async () => (await stateOf(id)) === 'in_doubt');
  await house.hurry();
  await new Promise((done) => setTimeout(done, 2500)); // two rounds of the sweeper, which must not send it
  expect(delivered('dotted')).toBe(1);
  expect(await stateOf(id)).toBe('in_doubt');
});

test('a delivery worker that dies after the reply and before its commit leaves doubt, and the next hop has it once', async () => {
  const gateway = await house.start('gateway');
  await house.start('policy');
  const delivery = await house.start('delivery', { database: proxy.url });
  const settling = proxy.hold('settle', 'request');
  const id = await house.submit(gateway, 'replied');
  await settling;
  await delivery.kill();
  await house.start('delivery');
  await house.until('doubt', async () => (await stateOf(id)) === 'in_doubt');
  expect(delivered('replied')).toBe(1);
});

test('with delivery.in_doubt retry a lost attempt is made again, and the doubt stays on record', async () => {
  const retry = { delivery: { lease_seconds: 3, in_doubt: 'retry' } };
  const gateway = await house.start('gateway');
  await house.start('policy');
  const delivery = await house.start('delivery', { database: proxy.url, config: retry });
  const settling = proxy.hold('settle', 'request');
  const id = await house.submit(gateway, 'again');
  await settling;
  await delivery.kill();
  await house.start('delivery', { config: retry });
  await house.until('it to be settled', async () => (await stateOf(id)) === 'relayed', { hurry: true });
  expect(delivered('again')).toBe(2);
  expect(await audit(id)).toContain('in_doubt');
});

test('a worker that stalled past its lease can report nothing, and takes up work under a new name', async () => {
  const gateway = await house.start('gateway');
  await house.start('policy');
  const stalled = await house.start('delivery');
  let release = () => {};
  const dotted = new Promise<void>((resolve) => {
    house.sink.play = (point, name) => {
      if (point !== 'dot' || name !== 'stalled') return 'go';
      resolve();
      return new Promise<void>((go) => {
        release = go;
      });
    };
  });
  const id = await house.submit(gateway, 'stalled');
  await dotted;
  stalled.freeze();
  const other = await house.start('delivery');
  await house.until('doubt', async () => (await stateOf(id)) === 'in_doubt');
  const next = await house.submit(gateway, 'meanwhile');
  await house.until('the other to deliver', async () => (await stateOf(next)) === 'relayed', { hurry: true });
  release();
  stalled.thaw();
  await new Promise((done) => setTimeout(done, 2000));
  expect(await stateOf(id)).toBe('in_doubt');

  await other.stop();
  const last = await house.submit(gateway, 'afterwards');
  await house.until('the one that stalled to work again', async () => (await stateOf(last)) === 'relayed', {
    hurry: true,
  });
  expect(house.sink.taken.map(({ name }) => name).sort()).toEqual(['afterwards', 'meanwhile', 'stalled']);
});
