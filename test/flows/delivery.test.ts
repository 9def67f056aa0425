import { afterEach, expect, test } from 'vitest';
import { type Delivery, HASTY, startTestDelivery } from '../support/delivery.ts';
import { type NextHop, type Script, startNextHop } from '../support/next-hop.ts';

let delivery: Delivery;
let hop: NextHop;

afterEach(async () => {
  await delivery?.close();
  await hop?.close();
});

/** A room whose default route leads to a next hop that plays `script`. */
async function relayThrough(script: Script, settings: Record<string, unknown> = {}): Promise<void> {
  hop = await startNextHop(script);
  const routes = { hop: { type: 'smarthost', host: '127.0.0.1', port: hop.port, tls: 'none' } };
  delivery = await startTestDelivery({ default_route: 'hop', routes, ...settings }, HASTY);
}

async function send(mail: Parameters<Delivery['queue']>[0] = {}): Promise<string> {
  const id = await delivery.queue(mail);
  delivery.ring(id);
  return id;
}

const THREE = { forwardPaths: ['a@one.example', 'b@two.example', 'c@three.example'] };

test('mail is relayed with the bytes that were stored, and every step is audited', async () => {
  await relayThrough({});
  const id = await send({ body: 'one\r\n.\r\n..two\r\nthe end, unterminated' });
  await delivery.reaches(id, 'relayed');
  expect(hop.taken).toHaveLength(1);
  expect(hop.taken[0]!.recipients).toEqual(['bob@remote.example']);
  expect(hop.taken[0]!.bytes.toString()).toMatch(
    /\r\n\r\none\r\n\.\r\n\.\.two\r\nthe end, unterminated\r\n$/,
  );
  const [one] = await delivery.recipients(id);
  expect(one).toMatchObject({
    status: 'relayed',
    reply_code: 250,
    reply_enhanced: '2.0.0',
    reply_text: 'taken',
  });
  const audit = await delivery.audit(id);
  expect(audit.map(({ action }) => action)).toEqual([
    'message.accepted',
    'message.attempted',
    'message.relayed',
  ]);
  expect(await delivery.sql('select outcome, next_hop from attempts')).toEqual([
    { outcome: 'relayed', next_hop: `127.0.0.1:${hop.port}` },
  ]);
  expect(delivery.log.filter(({ msg }) => msg === 'attempt')).toHaveLength(1);
});

test('mail of a capture route lands in the box and nowhere else', async () => {
  hop = await startNextHop();
  delivery = await startTestDelivery();
  const id = await send(THREE);
  await delivery.reaches(id, 'relayed');
  expect(await delivery.sql('select message_id, forward_paths from captures')).toEqual([
    { message_id: id, forward_paths: THREE.forwardPaths },
  ]);
  expect(hop.connections).toBe(0);
});

test('451 at the final dot, then 250: deferred once, relayed once', async () => {
  await relayThrough({ dot: ['451 4.3.0 try later', '250 2.0.0 ok'] });
  const id = await send();
  const waiting = await delivery.until(async () => {
    const row = await delivery.message(id);
    return row.attempts === 1 && row.state === 'queued' && row;
  });
  expect((waiting.next_attempt_at as Date).getTime()).toBeGreaterThan(Date.now() + 30_000);
  expect(await delivery.recipients(id)).toMatchObject([{ status: 'deferred', reply_code: 451 }]);
  await delivery.sweep();
  await delivery.reaches(id, 'relayed');
  expect(hop.taken).toHaveLength(1);
  expect(hop.connections).toBe(1);
});

test('550 for the second of three: the others get it once, and the message ends failed', async () => {
  await relayThrough({ rcpt: (to) => (to.startsWith('b@') ? '550 5.1.1 no such user' : '250 ok') });
  const id = await send(THREE);
  await delivery.reaches(id, 'failed');
  expect(hop.taken.map(({ recipients }) => recipients)).toEqual([['a@one.example', 'c@three.example']]);
  expect((await delivery.recipients(id)).map(({ status, reply_code }) => [status, reply_code])).toEqual([
    ['relayed', 250],
    ['failed', 550],
    ['relayed', 250],
  ]);
});

test('Q-02: 4xx for one recipient of three: only that one is tried again', async () => {
  let greylisted = true;
  await relayThrough({
    rcpt: (to) => (to.startsWith('b@') && greylisted ? '450 4.2.0 greylisted' : '250 ok'),
  });
  const id = await send(THREE);
  await delivery.until(async () => (await delivery.recipients(id))[1]!.status === 'deferred');
  expect((await delivery.message(id)).state).toBe('queued');
  greylisted = false;
  await delivery.sweep();
  await delivery.reaches(id, 'relayed');
  expect(hop.taken.map(({ recipients }) => recipients)).toEqual([
    ['a@one.example', 'c@three.example'],
    ['b@two.example'],
  ]);
});

test('Q-02: a connection that is cut after the final dot leaves the message in doubt, and it is not sent again', async () => {
  await relayThrough({ dot: { drop: true } });
  const id = await send();
  await delivery.reaches(id, 'in_doubt');
  await delivery.sweep();
  await delivery.until(async () => delivery.log.some(({ msg }) => String(msg).startsWith('in doubt')));
  expect((await delivery.message(id)).state).toBe('in_doubt');
  expect(hop.taken).toHaveLength(1);
  expect(await delivery.recipients(id)).toMatchObject([{ status: 'in_doubt', reply_code: null }]);
});
