/** What a next hop may do to us, and what becomes of each recipient. */
import { afterEach, expect, test } from 'vitest';
import { type Delivery, HASTY, type QueuedMail, startTestDelivery } from '../support/delivery.ts';
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
  delivery = await startTestDelivery({ default_route: 'hop', routes, ...settings }, HASTY);
}

async function send(mail: QueuedMail = {}): Promise<string> {
  const id = await delivery.queue(mail);
  delivery.ring(id);
  return id;
}

/** The state after one attempt, and how each recipient fares. */
async function afterOneAttempt(
  id: string,
): Promise<{ state: string; statuses: string[]; codes: (number | null)[] }> {
  const row = await delivery.until(async () => {
    const one = await delivery.message(id);
    return one.attempts === 1 && one.state !== 'relaying' && one;
  });
  const recipients = await delivery.recipients(id);
  return {
    state: row.state,
    statuses: recipients.map(({ status }) => status),
    codes: recipients.map(({ reply_code }) => reply_code),
  };
}

const garbage = { raw: '2 50 ok\r\n' };

test.each<[string, Script, string, string, number | null]>([
  ['421 in the greeting', { greeting: { drop: true, say: '421 4.3.2 busy' } }, 'queued', 'deferred', null],
  ['554 in the greeting', { greeting: '554 5.3.2 no service' }, 'queued', 'deferred', null],
  ['421 at MAIL', { mail: '421 4.3.2 closing' }, 'queued', 'deferred', 421],
  ['550 at MAIL', { mail: '550 5.7.1 no' }, 'failed', 'failed', 550],
  ['silence at MAIL', { mail: { silence: true } }, 'queued', 'deferred', null],
  ['garbage at MAIL', { mail: garbage }, 'queued', 'deferred', null],
  ['450 at RCPT', { rcpt: '450 4.2.1 later' }, 'queued', 'deferred', 450],
  ['552 at RCPT, which means too many', { rcpt: '552 too many recipients' }, 'queued', 'deferred', 552],
  ['garbage at RCPT', { rcpt: garbage }, 'queued', 'deferred', null],
  ['a cut at RCPT', { rcpt: { drop: true } }, 'queued', 'deferred', null],
  ['451 at DATA', { data: '451 4.3.0 later' }, 'queued', 'deferred', 451],
  ['554 at DATA', { data: '554 5.7.1 no' }, 'failed', 'failed', 554],
  ['250 at DATA, out of step', { data: '250 ok' }, 'queued', 'deferred', 250],
  ['550 at the final dot', { dot: '550 5.6.0 spam' }, 'failed', 'failed', 550],
  ['421 at the final dot', { dot: { drop: true, say: '421 4.3.2 closing' } }, 'queued', 'deferred', 421],
  ['silence at the final dot', { dot: { silence: true } }, 'in_doubt', 'in_doubt', null],
  ['half a reply at the final dot', { dot: { raw: '250 2.0.0 tak' } }, 'in_doubt', 'in_doubt', null],
  ['garbage at the final dot', { dot: garbage }, 'in_doubt', 'in_doubt', null],
  [
    'lines that disagree at the final dot',
    { dot: { raw: '250-ok\r\n550 no\r\n' } },
    'in_doubt',
    'in_doubt',
    null,
  ],
  ['354 at the final dot', { dot: '354 go on' }, 'in_doubt', 'in_doubt', null],
  ['a reply of 1 MB', { mail: { raw: '250-x\r\n'.repeat(150_000) } }, 'queued', 'deferred', null],
  ['a line of 1 MB', { mail: { raw: `250 ${'x'.repeat(1 << 20)}` } }, 'queued', 'deferred', null],
])('Q-02: %s', async (_what, script, state, status, code) => {
  await relayThrough(script);
  const id = await send();
  expect(await afterOneAttempt(id)).toEqual({ state, statuses: [status], codes: [code] });
});

test.each<[string, Script]>([
  ['with PIPELINING', {}],
  ['without PIPELINING', { extensions: ['8BITMIME'] }],
  ['with no extension at all', { extensions: [] }],
])('mail passes %s', async (_what, script) => {
  await relayThrough(script);
  const id = await send({ forwardPaths: ['a@one.example', 'b@two.example'] });
  await delivery.reaches(id, 'relayed');
  expect(hop.taken[0]!.recipients).toEqual(['a@one.example', 'b@two.example']);
});

test('a slow next hop is waited for', async () => {
  await relayThrough({ dot: { after: 300, say: '250 2.0.0 at last' } });
  await delivery.reaches(await send(), 'relayed');
});

test('an answer nobody asked for ends the session, and no mail is judged by it', async () => {
  await relayThrough({ dot: { raw: '250 2.0.0 ok\r\n250 2.0.0 and one more\r\n' } });
  const first = await send();
  await delivery.reaches(first, 'relayed');
  hop.script = { mail: '550 5.7.1 no' };
  const second = await send();
  await delivery.reaches(second, 'failed');
  expect(hop.connections).toBe(2);
});

test('a refused recipient does not cost the session', async () => {
  await relayThrough({ rcpt: ['550 5.1.1 no', '250 ok'] });
  await delivery.reaches(await send(), 'failed');
  await delivery.reaches(await send(), 'relayed');
  expect(hop.connections).toBe(1);
  expect(hop.heard).toContain('RSET');
});

test('a next hop that falls silent at the last EHLO keeps nothing waiting', async () => {
  await relayThrough({ ehlo: ['', { silence: true }, ''] });
  expect(await afterOneAttempt(await send())).toMatchObject({ state: 'queued', statuses: ['deferred'] });
  await delivery.reaches(await send(), 'relayed');
});

test('a next hop that never answers QUIT keeps no connection of ours', async () => {
  await relayThrough({ quit: { silence: true } }, { messages_per_connection: 1 });
  await delivery.reaches(await send(), 'relayed');
  await delivery.reaches(await send(), 'relayed');
  await delivery.until(async () => hop.open === 0, 3000);
});

test('a session that was closed while idle is no attempt lost', async () => {
  await relayThrough({ dot: [{ drop: true, say: '250 2.0.0 ok' }, '250 2.0.0 ok'] });
  await delivery.reaches(await send(), 'relayed');
  const id = await send();
  await delivery.reaches(id, 'relayed');
  expect((await delivery.message(id)).attempts).toBe(1);
});

test('a session that ends at the first command of its next message is no attempt lost either', async () => {
  await relayThrough({ mail: ['250 ok', { drop: true }, '250 ok'] });
  await delivery.reaches(await send(), 'relayed');
  const id = await send();
  await delivery.reaches(id, 'relayed');
  expect((await delivery.message(id)).attempts).toBe(1);
  expect(hop.connections).toBe(2);
});

test('a large message crosses in pieces, dots and all', async () => {
  await relayThrough({});
  const body = Buffer.from(`${'.'.repeat(60)}\r\n`.repeat(40_000));
  const id = await send({ body });
  await delivery.reaches(id, 'relayed');
  expect(hop.taken[0]!.bytes.subarray(-body.length).equals(body)).toBe(true);
});

test('C-19: a UTF-8 recipient fails 5.6.7 at a next hop without SMTPUTF8, the others get it', async () => {
  await relayThrough({ extensions: ['PIPELINING', '8BITMIME'] });
  const id = await send({ forwardPaths: ['bob@remote.example', 'bücher@remote.example'] });
  await delivery.reaches(id, 'failed');
  expect(await delivery.recipients(id)).toMatchObject([
    { status: 'relayed' },
    { status: 'failed', reply_enhanced: '5.6.7', reply_code: null },
  ]);
  expect(hop.taken[0]!.recipients).toEqual(['bob@remote.example']);
  expect(hop.heard.join()).not.toContain('cher@');
});

test('a UTF-8 address or header asks for SMTPUTF8 where it is offered', async () => {
  await relayThrough({});
  await delivery.reaches(await send({ smtputf8: true }), 'relayed');
  await delivery.reaches(await send({ forwardPaths: ['bücher@remote.example'] }), 'relayed');
  expect(hop.taken.map(({ parameters }) => parameters)).toEqual([
    expect.stringMatching(/SIZE=\d+ BODY=8BITMIME SMTPUTF8$/),
    expect.stringMatching(/SMTPUTF8$/),
  ]);
  expect(hop.taken[1]!.recipients).toEqual(['bücher@remote.example']);
});

test('C-20: 8-bit content fails 5.6.3 at a next hop without 8BITMIME, and is never altered', async () => {
  await relayThrough({ extensions: ['PIPELINING'] });
  const id = await send({ body: 'größer\r\n' });
  await delivery.reaches(id, 'failed');
  expect(await delivery.recipients(id)).toMatchObject([{ reply_enhanced: '5.6.3' }]);
  expect(hop.taken).toEqual([]);
});

test('a message larger than the next hop takes is not begun', async () => {
  await relayThrough({ extensions: ['PIPELINING', 'SIZE 100'] });
  const id = await send();
  await delivery.reaches(id, 'failed');
  expect(await delivery.recipients(id)).toMatchObject([{ reply_enhanced: '5.3.4' }]);
  expect(hop.heard.filter((line) => line.startsWith('MAIL'))).toEqual([]);
});

test.each([
  ['bare LF', 'a\n.\r\nMAIL FROM:<evil@x>\r\n'],
  ['bare CR', 'a\r.\r\n'],
  ['NUL', 'a\r\n\0.\r\nb\r\n'],
])('S-15: content with a %s that came into the store another way is not sent', async (_what, body) => {
  await relayThrough({});
  const id = await send({ body });
  await delivery.reaches(id, 'failed');
  expect((await delivery.message(id)).status_reason).toMatch(/5\.6\.0/);
  expect(hop.connections).toBe(0);
});

test('content or envelope that is not what was approved is not sent, and someone is told', async () => {
  await relayThrough({});
  const bytes = await delivery.queue();
  await delivery.sql(
    `update contents set bytes = bytes || 'P.S.' where id = (select content_id from messages where id = $1)`,
    [bytes],
  );
  const recipient = await delivery.queue();
  await delivery.sql(`update recipients set address = 'eve@evil.example' where message_id = $1`, [recipient]);
  const envelope = await delivery.queue();
  await delivery.sql(`update messages set forward_paths = '{eve@evil.example}' where id = $1`, [envelope]);
  await delivery.restart(HASTY);
  for (const id of [bytes, recipient, envelope])
    delivery.runtime.contents.take((await delivery.message(id)).content_id as string);
  delivery.ring(bytes, recipient, envelope);
  for (const id of [bytes, recipient, envelope]) {
    await delivery.reaches(id, 'failed');
    expect((await delivery.message(id)).status_reason).toMatch(/does not match what was approved/);
  }
  expect(hop.connections).toBe(0);
  expect(await delivery.runtime.metrics.registry.metrics()).toMatch(/postern_alarm\{kind="content"\} 1/);
});

test('in doubt and `retry`: tried again by itself, which the audit tells', async () => {
  await relayThrough({ dot: [{ drop: true }, '250 2.0.0 ok'] }, { in_doubt: 'retry' });
  const id = await send();
  await delivery.reaches(id, 'in_doubt');
  await delivery.sweep();
  await delivery.reaches(id, 'relayed');
  const actions = (await delivery.audit(id)).map(({ action }) => action);
  expect(actions).toEqual([
    'message.accepted',
    'message.attempted',
    'message.in_doubt',
    'message.settled',
    'message.attempted',
    'message.relayed',
  ]);
});

test('in doubt for longer than mail is tried: failed, with a report that its fate is unknown', async () => {
  await relayThrough({ dot: { drop: true } });
  const id = await send();
  await delivery.reaches(id, 'in_doubt');
  await delivery.sql(`update messages set changed_at = now() - interval '121 hours' where id = $1`, [id]);
  await delivery.sweep();
  await delivery.reaches(id, 'failed');
  const [report] = await delivery.until(async () => {
    const rows = await delivery.sql<{ subject: string }>(`select subject from messages where about_id = $1`, [
      id,
    ]);
    return rows.length > 0 && rows;
  });
  expect(report!.subject).toBe('It is not known whether your message was delivered');
});
