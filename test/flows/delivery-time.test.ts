/** How long mail is tried, and how often: from the moment it was let go, not from the moment it came. */
import { afterEach, expect, test } from 'vitest';
import { approve, settleDoubt } from '../../policy/review.ts';
import { type Delivery, HASTY, startTestDelivery } from '../support/delivery.ts';
import { type NextHop, type Script, startNextHop } from '../support/next-hop.ts';
import { type Oversight, openOversight } from '../support/oversight.ts';

let delivery: Delivery | undefined;
let hop: NextHop | undefined;
let oversight: Oversight | undefined;

afterEach(async () => {
  await delivery?.close();
  await hop?.close();
  await oversight?.close();
  delivery = hop = oversight = undefined;
});

async function relayThrough(script: Script, settings: Record<string, unknown> = {}): Promise<Delivery> {
  hop = await startNextHop(script);
  const routes = { hop: { type: 'smarthost', host: '127.0.0.1', port: hop.port, tls: 'none' } };
  delivery = await startTestDelivery({ default_route: 'hop', routes, ...settings }, HASTY);
  return delivery;
}

/** A message that came six days ago and was approved, or fell due, a moment ago. */
async function longHeld(room: Delivery): Promise<string> {
  const id = await room.queue({ hours: 144 });
  await room.sql('update messages set queued_at = now(), wake_at = now() where id = $1', [id]);
  return id;
}

test('mail that was held for longer than mail is tried has all its time before it when it is let go', async () => {
  const room = await relayThrough({ dot: ['451 4.3.0 busy', '250 2.0.0 ok'] });
  const id = await longHeld(room);
  room.ring(id);
  await room.until(async () => (await room.message(id)).attempts === 1);
  await room.reaches(id, 'queued');
  expect((await room.message(id)).dsn_owed).toBeNull();
  await room.sweep();
  await room.reaches(id, 'relayed');
  expect(await room.sql('select 1 from messages where about_id = $1', [id])).toEqual([]);
});

test('mail that was held for long does not end unattempted because its next hop is away just now', async () => {
  const room = await relayThrough({ greeting: { drop: true } });
  for (const _ of [1, 2, 3]) {
    const early = await room.queue();
    room.ring(early);
    await room.until(async () => (await room.message(early)).attempts === 1);
  }
  await room.until(async () => room.log.some(({ msg }) => String(msg).startsWith('next hop unreachable')));
  const id = await longHeld(room);
  room.ring(id);
  await room.until(async () => ((await room.message(id)).wake_at as Date).getTime() > Date.now() + 500);
  expect(await room.message(id)).toMatchObject({ state: 'queued', dsn_owed: null });
});

test('the time that a pause took is nobody’s time, also when the next hop is away after it', async () => {
  const room = await relayThrough({ greeting: { drop: true } });
  await room.sql(`insert into audit_events (at, action, resource_type, resource_id, actor_type, actor_name)
    values (now() - interval '119 hours', 'route.paused', 'route', 'hop', 'system', 'delivery'),
           (now() - interval '1 hour', 'route.resumed', 'route', 'hop', 'system', 'delivery')`);
  await room.restart();
  for (const _ of [1, 2, 3]) {
    const early = await room.queue();
    room.ring(early);
    await room.until(async () => (await room.message(early)).attempts === 1);
  }
  await room.until(async () => room.log.some(({ msg }) => String(msg).startsWith('next hop unreachable')));
  const [paused, late] = [await room.queue({ hours: 125 }), await room.queue({ hours: 300 })];
  room.ring(paused, late);
  await room.reaches(late, 'failed');
  expect((await room.message(paused)).state).toBe('queued');
});

test('in doubt and `retry`: a next hop that always hangs up is not sent the same mail every second', async () => {
  const room = await relayThrough({ dot: { drop: true } }, { in_doubt: 'retry' });
  const id = await room.queue();
  room.ring(id);
  await room.reaches(id, 'in_doubt');
  room.ring(id);
  await room.until(async () => hop!.taken.length === 2);
  await room.reaches(id, 'in_doubt');
  room.ring(id);
  const row = await room.reaches(id, 'queued');
  expect((row.next_attempt_at as Date).getTime()).toBeGreaterThan(Date.now() + 30_000);
  expect(row.wake_at).toEqual(row.next_attempt_at);
});

test('in doubt and `retry`: it ends when its time has passed', async () => {
  const room = await relayThrough({ dot: { drop: true } }, { in_doubt: 'retry' });
  const id = await room.queue();
  room.ring(id);
  await room.reaches(id, 'in_doubt');
  await room.sql(`update messages set queued_at = now() - interval '121 hours' where id = $1`, [id]);
  room.ring(id);
  await room.reaches(id, 'failed');
  expect(hop!.taken).toHaveLength(1);
});

test('the time of mail begins when it is let go: by a verdict, by an approval, at its hour, by a person who says retry', async () => {
  oversight = await openOversight();
  const { house, sql, accept, judge, message } = oversight;
  const [open, gated] = [await oversight.mailbox({ mode: 'autonomous' }), await oversight.mailbox()];
  const principal = await oversight.principal();
  const actor = { type: 'user', id: principal.id, name: principal.name } as const;
  const sendAt = new Date(Date.now() + 1000);
  const ids = {
    released: await accept({ mailboxId: open }),
    due: await accept({ mailboxId: open, sendAt }),
    approved: await accept({ mailboxId: gated }),
    doubted: await accept({ mailboxId: open }),
  };
  await judge(...Object.values(ids));
  await sql(`update messages set queued_at = null, created_at = now() - interval '6 days' where id <> $1`, [
    ids.released,
  ]);
  const digest = (await message(ids.approved)).digest.toString('hex');
  await approve(house, { messageId: ids.approved, digest, principal, actor });
  await sql(`update messages set state = 'in_doubt' where id = $1`, [ids.doubted]);
  await settleDoubt(house, { messageId: ids.doubted, outcome: 'retry', actor });
  await new Promise((go) => setTimeout(go, sendAt.getTime() - Date.now() + 20));
  await judge(ids.due);
  const fresh = await sql(
    `select 1 from messages where state = 'queued' and queued_at > now() - interval '1 minute'`,
  );
  expect(fresh).toHaveLength(4);
});
