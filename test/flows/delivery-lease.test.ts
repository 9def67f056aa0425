/** Who may send, when processes stall, the store goes away, or a gate shuts late. */
import { afterEach, expect, test } from 'vitest';
import { newId } from '../../core/mail/id.ts';
import { claim, claimsHeld } from '../../core/store/claiming.ts';
import { beginLease, loseExpired } from '../../core/store/leases.ts';
import { type Outcome, settling } from '../../core/store/outcomes.ts';
import { cancel } from '../../core/store/withdrawing.ts';
import { type Delivery, HASTY, startTestDelivery } from '../support/delivery.ts';
import { type NextHop, type Script, startNextHop } from '../support/next-hop.ts';

let delivery: Delivery;
let hop: NextHop;

afterEach(async () => {
  await delivery?.close();
  await hop?.close();
});

async function relayThrough(script: Script, settings: Record<string, unknown> = {}): Promise<void> {
  hop = await startNextHop(script);
  const routes = { hop: { type: 'smarthost', host: '127.0.0.1', port: hop.port, tls: 'none' } };
  const patient = {
    ...HASTY,
    timeouts: { ...HASTY.timeouts, command: 8000, dataCommand: 8000, finalReply: 8000 },
  };
  delivery = await startTestDelivery({ default_route: 'hop', routes, ...settings }, patient);
}

async function send(): Promise<string> {
  const id = await delivery.queue();
  delivery.ring(id);
  return id;
}

/** Blocks this thread, and with it every timer of the worker, as a stalled process is. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('Q-06: a worker that stalled past its lease sends no final dot', async () => {
  await relayThrough({ data: { after: 100, say: '354 go on' } }, { lease_seconds: 3 });
  const id = await send();
  await delivery.until(async () => hop.heard.includes('DATA'));
  stall(3500);
  await delivery.until(async () => (await delivery.message(id)).state !== 'relaying');
  await new Promise((go) => setTimeout(go, 500));
  expect(hop.taken).toEqual([]);
});

test('Q-06: a worker that was declared dead writes no outcome, and goes on under another name', async () => {
  await relayThrough({ dot: [{ after: 1500, say: '250 2.0.0 ok' }, '250 2.0.0 ok'] }, { lease_seconds: 3 });
  const id = await send();
  await delivery.until(async () => hop.taken.length === 1);
  await delivery.sql(`update workers set lease_until = now() - interval '1 second'`);
  await loseExpired(delivery.runtime.database);
  expect((await delivery.message(id)).state).toBe('in_doubt');
  await delivery.until(async () =>
    delivery.log.some(({ msg }) => String(msg).startsWith('the claim was lost')),
  );
  expect((await delivery.message(id)).state).toBe('in_doubt');
  const next = await delivery.until(async () => {
    const one = await delivery.queue();
    delivery.ring(one);
    await new Promise((go) => setTimeout(go, 200));
    return (await delivery.message(one)).state === 'relayed' && one;
  });
  const workers = await delivery.sql<{ worker_id: string }>(
    'select worker_id from attempts where message_id = any($1) order by started_at',
    [[id, next]],
  );
  expect(new Set(workers.map(({ worker_id }) => worker_id)).size).toBe(2);
});

test('a known 250 survives a store that goes away before it is written', async () => {
  await relayThrough({ dot: { after: 300, say: '250 2.0.0 ok' } });
  const id = await send();
  await delivery.until(async () => hop.taken.length === 1);
  // Whatever writes an outcome fails for longer than the answer takes.
  await delivery.sql('alter table attempts rename to away');
  await delivery.until(async () =>
    delivery.log.some(({ msg }) => String(msg).startsWith('an outcome could not')),
  );
  expect((await delivery.message(id)).state).toBe('relaying');
  await delivery.sql('alter table away rename to attempts');
  await delivery.reaches(id, 'relayed');
  expect(hop.taken).toHaveLength(1);
  const audit = await delivery.audit(id);
  expect(audit.filter(({ action }) => action === 'message.relayed')).toHaveLength(1);
});

test('an outcome is written under the claim it answers, and under no other', async () => {
  await relayThrough({});
  await delivery.stop();
  const { database } = delivery.runtime;
  const worker = newId();
  await beginLease(database.pool, { id: worker, room: 'delivery', leaseSeconds: 60 });
  const id = await delivery.queue();
  const [taken] = await claim(database.pool, [id], worker);
  const outcome: Outcome = {
    id,
    worker,
    epoch: taken!.epoch,
    attempt: 1,
    to: 'relayed',
    recipients: [],
    route: 'hop',
    nextHop: null,
    reply: null,
    wakeAt: null,
    dsnOwed: null,
    captureId: null,
  };
  const { add } = settling(database);
  expect(await add({ ...outcome, epoch: taken!.epoch - 1 })).toBe(false);
  expect(await add({ ...outcome, worker: newId() })).toBe(false);
  expect(await add(outcome)).toBe(true);
  expect(await add(outcome)).toBe(false);
});

test('a claim whose answer was lost is found again, and only by the one who made it', async () => {
  await relayThrough({});
  await delivery.stop();
  const { database } = delivery.runtime;
  const worker = newId();
  await beginLease(database.pool, { id: worker, room: 'delivery', leaseSeconds: 60 });
  const [mine, other] = [await delivery.queue(), await delivery.queue()];
  const made = await claim(database.pool, [mine], worker);
  expect(await claimsHeld(database.pool, [mine, other], worker)).toEqual(made);
  expect(await claimsHeld(database.pool, [mine, other], newId())).toEqual([]);
});

test('a message rung for many times is attempted once', async () => {
  await relayThrough({ dot: { after: 100, say: '250 2.0.0 ok' } });
  const id = await delivery.queue();
  for (let i = 0; i < 20; i++) {
    delivery.ring(id);
    await new Promise((go) => setTimeout(go, 10));
  }
  await delivery.reaches(id, 'relayed');
  expect(hop.taken).toHaveLength(1);
  expect((await delivery.message(id)).attempts).toBe(1);
});

test('two workers share the queue, and nothing is sent twice', async () => {
  await relayThrough({});
  const other = await startTestDelivery({}, HASTY, { start: false });
  const { startDelivery } = await import('../../delivery/main.ts');
  const second = await startDelivery({ ...delivery.runtime, bells: other.runtime.bells }, HASTY);
  const ids = await Promise.all(Array.from({ length: 100 }, () => delivery.queue()));
  delivery.ring(...ids);
  other.ring(...ids);
  await delivery.until(async () => {
    const [row] = await delivery.sql<{ n: number }>(
      `select count(*) as n from messages where state = 'relayed'`,
    );
    return row!.n === 100;
  });
  expect(new Set(hop.taken.map(({ digest }) => digest)).size).toBe(100);
  expect(hop.taken).toHaveLength(100);
  await second.close();
  await other.close();
});

test('a gate that shut after the release holds the message, and nothing leaves', async () => {
  await relayThrough({});
  const id = await delivery.queue();
  await delivery.sql(`update mailboxes set oversight_mode = 'gated_send' where id = $1`, [
    delivery.mailboxId,
  ]);
  delivery.ring(id);
  await delivery.reaches(id, 'held');
  expect(hop.connections).toBe(0);
});

test('a message that was cancelled is never attempted', async () => {
  await relayThrough({});
  const id = await delivery.queue();
  await cancel(delivery.runtime.database, id, { type: 'user', id: null, name: 'ana' });
  delivery.ring(id);
  await new Promise((go) => setTimeout(go, 300));
  expect((await delivery.message(id)).state).toBe('cancelled');
  expect(hop.connections).toBe(0);
});

test('closing lets what is under way end, says goodbye, and gives the lease back', async () => {
  await relayThrough({ dot: { after: 300, say: '250 2.0.0 ok' } });
  const id = await send();
  await delivery.until(async () => hop.taken.length === 1);
  await delivery.stop();
  expect((await delivery.message(id)).state).toBe('relayed');
  expect(hop.heard.at(-1)).toBe('QUIT');
  expect(hop.open).toBe(0);
  expect(await delivery.sql('select 1 from workers where lease_until > now()')).toEqual([]);
});

test('what closing breaks off before the final dot is deferred, not in doubt', async () => {
  hop = await startNextHop({ mail: { silence: true } });
  const routes = { hop: { type: 'smarthost', host: '127.0.0.1', port: hop.port, tls: 'none' } };
  delivery = await startTestDelivery({ default_route: 'hop', routes }, { closeMs: 100 });
  const ids = [await send(), await send()];
  await delivery.until(async () => hop.heard.filter((line) => line.startsWith('MAIL')).length === 2);
  await delivery.stop();
  for (const id of ids) expect((await delivery.message(id)).state).toBe('queued');
});

test('an outcome whose words the store refuses is written without them', async () => {
  await relayThrough({ dot: '250 2.0.0 banana' });
  await delivery.sql(`alter table attempts add constraint no_fruit check (reply not like '%banana%')`);
  const id = await send();
  await delivery.reaches(id, 'relayed');
  const [attempt] = await delivery.sql('select outcome, reply from attempts where message_id = $1', [id]);
  expect(attempt).toEqual({ outcome: 'relayed', reply: expect.stringContaining('could not be stored') });
});

test('only what Postern made itself passes the gate as Postern’s own', async () => {
  await relayThrough({});
  const box = await delivery.mailbox({ mode: 'gated_send' });
  const id = await delivery.queue({ mailboxId: box, kind: 'copy', source: 'submission' });
  delivery.ring(id);
  await delivery.reaches(id, 'held');
  expect(hop.connections).toBe(0);
});
