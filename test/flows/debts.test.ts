/** A debt is a duty beside the message's own life: paying it must not end that life, and nothing may forget it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newId } from '../../core/mail/id.ts';
import { claim } from '../../core/store/claiming.ts';
import { abandonDoubt } from '../../core/store/doubts.ts';
import { pay, readDebt } from '../../core/store/dsn.ts';
import { beginLease, loseExpired } from '../../core/store/leases.ts';
import { type Outcome, settling } from '../../core/store/outcomes.ts';
import { report } from '../../delivery/dsn.ts';
import { type Delivery, HASTY, type QueuedMail, startTestDelivery } from '../support/delivery.ts';

let delivery: Delivery;
const worker = newId();
const two = ['gone@remote.example', 'slow@remote.example'];

beforeEach(async () => {
  delivery = await startTestDelivery({}, HASTY, { start: false });
  await beginLease(delivery.runtime.database.pool, { id: worker, room: 'delivery', leaseSeconds: 600 });
});
afterEach(() => delivery.close());

/** A message of which one recipient failed while the other waits: it owes a report and goes on. */
async function owing(mail: QueuedMail = {}): Promise<string> {
  const id = await delivery.queue({ forwardPaths: two, ...mail });
  await attempted(id, ['failed', 'deferred'], 'failed');
  return id;
}

async function attempted(id: string, statuses: string[], dsnOwed: Outcome['dsnOwed']): Promise<void> {
  const { database } = delivery.runtime;
  await delivery.sql('update messages set next_attempt_at = null where id = $1', [id]);
  const [taken] = await claim(database.pool, [id], worker);
  const places = taken!.recipients.map(({ n, address }, i) => ({
    n,
    address,
    status: statuses[i] as 'failed',
    code: 550,
    enhanced: '5.1.1',
    text: 'no',
  }));
  const { epoch, attempt } = taken!;
  const to = 'queued' as const;
  const wakeAt = new Date(Date.now() + 60_000);
  const rest = { route: 'hop', nextHop: null, reply: null, captureId: null };
  const outcome = { id, worker, epoch, attempt, to, recipients: places, wakeAt, dsnOwed, ...rest };
  expect(await settling(database).add(outcome)).toBe(true);
}

const reportsAbout = (id: string) =>
  delivery.sql<{ id: string }>('select id from messages where about_id = $1', [id]);

test('a report that is paid while the message is being sent leaves it findable when its worker dies', async () => {
  const { database } = delivery.runtime;
  const id = await owing();
  await delivery.sql('update messages set next_attempt_at = null where id = $1', [id]);
  const read = (await readDebt(database.pool, id))!;
  await claim(database.pool, [id], worker);
  await report(delivery.runtime, id);
  await pay(database.pool, { ...read, reported: [0], report: null, audit: null });
  await delivery.sql('update workers set lease_until = now()');
  expect(await loseExpired(database)).toEqual([id]);
});

test('a report that is paid while the message is held leaves the hold its end', async () => {
  const id = await owing();
  await delivery.sql(
    `update messages set state = 'held', wake_at = now() + interval '7 days' where id = $1`,
    [id],
  );
  await report(delivery.runtime, id);
  const row = await delivery.message(id);
  expect(row.dsn_owed).toBeNull();
  expect((row.wake_at as Date).getTime()).toBeGreaterThan(Date.now() + 86_400_000);
  expect(await reportsAbout(id)).toHaveLength(1);
});

test.each([null, 'delayed'] as const)(
  'an attempt that owes %s does not forget the failure owed before',
  async (then) => {
    const id = await owing();
    await attempted(id, ['deferred'], then);
    const row = await delivery.message(id);
    expect(row.dsn_owed).toBe('failed');
    expect((row.wake_at as Date).getTime()).toBeLessThan(Date.now() + 6_000);
    await report(delivery.runtime, id);
    expect(await reportsAbout(id)).toHaveLength(1);
  },
);

test('a payment for an earlier attempt does not pay for a later one', async () => {
  const { database } = delivery.runtime;
  const id = await owing();
  const stale = (await readDebt(database.pool, id))!;
  await report(delivery.runtime, id);
  await attempted(id, ['failed'], 'failed');
  expect(await pay(database.pool, { ...stale, reported: [0], report: null, audit: null })).toBe(false);
  await report(delivery.runtime, id);
  expect(await reportsAbout(id)).toHaveLength(2);
});

test('who was not tried when a doubt is given up is told of as well', async () => {
  const { database } = delivery.runtime;
  const id = await delivery.queue({ forwardPaths: two });
  await delivery.sql(`update messages set state = 'in_doubt' where id = $1`, [id]);
  await delivery.sql(
    `update recipients set status = case n when 0 then 'in_doubt' else 'deferred' end where message_id = $1`,
    [id],
  );
  await abandonDoubt(database.pool, [id], 'it is not known whether it was delivered');
  expect((await delivery.recipients(id)).map(({ status }) => status)).toEqual(['failed', 'failed']);
});

test.each(['rejected', 'expired'])(
  'who was reached before the message was %s is not reported as failed',
  async (state) => {
    const id = await delivery.queue({ forwardPaths: two });
    await delivery.sql(`update messages set state = $2, dsn_owed = $2 where id = $1`, [id, state]);
    await delivery.sql(`update recipients set status = 'relayed' where message_id = $1 and n = 0`, [id]);
    await report(delivery.runtime, id);
    const [dsn] = await delivery.sql<{ bytes: Buffer }>(
      'select c.bytes from messages m join contents c on c.id = m.content_id where m.about_id = $1',
      [id],
    );
    expect(dsn!.bytes.toString()).toContain(`rfc822; ${two[1]}`);
    expect(dsn!.bytes.toString()).not.toContain(`rfc822; ${two[0]}`);
  },
);

test('a report that cannot be made is not tried for ever, and holds up nobody else', async () => {
  await delivery.restart();
  const [poison, other] = [await delivery.queue(), await delivery.queue()];
  await delivery.sql(`update messages set state = 'failed', dsn_owed = 'failed' where id = $1`, [poison]);
  await delivery.sql(`update recipients set status = 'failed' where message_id = $1`, [poison]);
  await delivery.sql(`alter table messages add constraint refused check (kind <> 'dsn') not valid`);
  await delivery.sql(`update mailboxes set route = 'capture'`);
  delivery.ring(poison, other);
  await delivery.reaches(other, 'relayed');
  await delivery.until(async () => (await delivery.message(poison)).dsn_owed === null);
  expect((await delivery.audit(poison)).map(({ action }) => action)).toContain('message.dsn_discarded');
});
