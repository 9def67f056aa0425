import { afterAll, beforeAll, expect, test } from 'vitest';
import { ruling } from '../../core/store/judging.ts';
import { sweep } from '../../core/store/sweep.ts';
import { startPolicy } from '../../policy/main.ts';
import { judge } from '../../policy/worker.ts';
import { type Oversight, openOversight } from '../support/oversight.ts';
import { type TestRuntime, testRuntime } from '../support/runtime.ts';

let oversight: Oversight;
let runtime: TestRuntime;
beforeAll(async () => {
  oversight = await openOversight();
  runtime = await testRuntime({}, { databaseUrl: oversight.database.url });
});
afterAll(async () => {
  await runtime.close();
  await oversight.close();
});

test('a bell brings a verdict, the verdict rings delivery, and closing finishes what was taken', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'autonomous' });
  const ids = await Promise.all(Array.from({ length: 30 }, () => oversight.accept({ mailboxId })));
  const rung = new Set<string>();
  const delivery = runtime.bells.answer('delivery', (some) => {
    for (const id of some) rung.add(id);
  });
  const policy = await startPolicy(runtime);
  runtime.bells.ring('policy', ids);
  await expect.poll(() => rung.size).toBe(30);
  expect([...rung].sort()).toEqual(ids.sort());
  await policy.close();
  await delivery.close();
  const states = await oversight.sql('select distinct state from messages where id = any($1)', [ids]);
  expect(states).toEqual([{ state: 'queued' }]);
});

test('A-10 a message whose bell was lost is found by the sweeper and judged, as is one whose hour has come', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'autonomous' });
  const forgotten = await oversight.accept({ mailboxId });
  const scheduled = await oversight.accept({ mailboxId, sendAt: new Date(Date.now() + 3_600_000) });
  await oversight.judge(scheduled);
  await oversight.sql('update messages set wake_at = now(), send_at = now() where id = any($1)', [
    [forgotten, scheduled],
  ]);
  const due = await sweep(oversight.database.pool, 1000);
  expect(due.policy.sort()).toEqual([forgotten, scheduled].sort());
  await oversight.judge(...due.policy);
  for (const id of due.policy) expect(await oversight.message(id)).toMatchObject({ state: 'queued' });
});

test('workers that are given the same ids at the same time give one verdict each', async () => {
  const mailboxId = await oversight.mailbox({
    mode: 'monitored',
    oversightAddress: 'boss@elsewhere.example',
  });
  const ids = await Promise.all(Array.from({ length: 300 }, () => oversight.accept({ mailboxId })));
  const judges = [1, 2, 3].map(() => judge(oversight.house, ruling(oversight.database)));
  judges.forEach((one, n) => {
    one.take(n % 2 === 0 ? ids : ids.toReversed());
  });
  await Promise.all(judges.map((one) => one.drain()));
  const [counted] = await oversight.sql(
    `select count(*) filter (where action = 'message.released') as released,
            count(*) filter (where action = 'message.copied') as copied
       from audit_events where resource_id = any($1)`,
    [ids],
  );
  expect(counted).toEqual({ released: 300, copied: 300 });
});
