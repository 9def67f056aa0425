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

interface Report {
  id: string;
  direction: string;
  state: string;
  mailbox_id: string;
  reverse_path: string;
  forward_paths: string[];
  subject: string;
  text: string;
}

async function reportsAbout(id: string): Promise<Report[]> {
  return delivery.sql<Report>(
    `select m.*, convert_from(c.bytes, 'UTF8') as text from messages m join contents c on c.id = m.content_id
      where m.about_id = $1 and m.kind = 'dsn' order by m.id`,
    [id],
  );
}

async function settled(id: string): Promise<void> {
  await delivery.until(async () => {
    const row = await delivery.message(id);
    return row.state !== 'queued' && row.state !== 'relaying' && row.dsn_owed === null;
  });
}

test('a failed submission is reported into the mailbox that sent it, once', async () => {
  await relayThrough({ rcpt: '550 5.1.1 no such user' });
  const id = await send({ forwardPaths: ['gone@remote.example'] });
  await settled(id);
  delivery.ring(id, id);
  await delivery.sweep();
  const reports = await reportsAbout(id);
  expect(reports).toHaveLength(1);
  expect(reports[0]).toMatchObject({
    direction: 'inbound',
    state: 'available',
    mailbox_id: delivery.mailboxId,
    reverse_path: '',
    forward_paths: ['ana@ours.example'],
  });
  expect(reports[0]!.text).toMatch(
    /Final-Recipient: rfc822; gone@remote\.example\r\nAction: failed\r\nStatus: 5\.1\.1/,
  );
  expect(reports[0]!.text).toContain('Diagnostic-Code: smtp; 550 5.1.1 no such user');
  expect((await delivery.audit(id)).at(-1)).toMatchObject({ action: 'message.dsn_sent' });
});

test('R-24: what a submission is told goes to its mailbox, whatever MAIL FROM said', async () => {
  await relayThrough({ mail: '550 5.7.1 no' });
  const id = await send({ reversePath: 'stranger@elsewhere.example' });
  await settled(id);
  expect((await reportsAbout(id)).map((one) => one.forward_paths)).toEqual([['ana@ours.example']]);
  expect(hop.taken).toEqual([]);
});

test('mail of a trusted network is reported to a mailbox of ours, or by mail to where it came from', async () => {
  await relayThrough({ rcpt: (to) => (to.startsWith('gone@') ? '550 5.1.1 no such user' : '250 ok') });
  const gone = { source: 'trusted' as const, forwardPaths: ['gone@remote.example'] };
  const ours = await send({ ...gone, reversePath: 'ana@ours.example' });
  const theirs = await send({ ...gone, reversePath: 'printer@elsewhere.example' });
  await settled(ours);
  await settled(theirs);
  expect((await reportsAbout(ours)).map(({ direction, mailbox_id }) => [direction, mailbox_id])).toEqual([
    ['inbound', delivery.mailboxId],
  ]);
  const [sent] = await reportsAbout(theirs);
  await delivery.reaches(sent!.id, 'relayed');
  expect(hop.taken.map(({ reversePath, recipients }) => [reversePath, recipients])).toEqual([
    ['', ['printer@elsewhere.example']],
  ]);
});

test.each([
  ['a null reverse-path', { source: 'trusted', reversePath: '' }, 'message.dsn_discarded'],
  ['R-26: a report of ours', { kind: 'dsn', source: 'postern', reversePath: '' }, 'message.dsn_discarded'],
  ['a copy for the overseer', { kind: 'copy', source: 'postern' }, 'oversight.copy_failed'],
] as const)('nobody gets a report about %s, and the audit says so', async (_what, mail, action) => {
  await relayThrough({ rcpt: '550 5.1.1 no such user' });
  const id = await send(mail);
  await settled(id);
  expect(await reportsAbout(id)).toEqual([]);
  expect((await delivery.audit(id)).map((one) => one.action)).toContain(action);
  expect(hop.taken).toEqual([]);
});

test('a recipient that fails while another waits is reported at once, and not again at the end', async () => {
  let away = true;
  await relayThrough({
    rcpt: (to) => (to.startsWith('gone@') ? '550 5.1.1 no' : away ? '450 4.2.0 later' : '250 ok'),
  });
  const id = await send({ forwardPaths: ['gone@remote.example', 'slow@remote.example'] });
  await delivery.until(async () => (await reportsAbout(id)).length === 1);
  expect((await delivery.message(id)).state).toBe('queued');
  away = false;
  await delivery.sweep();
  await delivery.reaches(id, 'failed');
  await settled(id);
  const reports = await reportsAbout(id);
  expect(reports).toHaveLength(1);
  expect(reports[0]!.text).not.toContain('slow@remote.example');
});

test('Q-03: after four hours the sender hears once of the delay, after five days of the failure', async () => {
  await relayThrough({ dot: '451 4.3.0 busy' });
  const id = await send({ hours: 5 });
  await delivery.until(async () => (await reportsAbout(id)).length === 1);
  await delivery.until(async () => (await delivery.message(id)).state === 'queued');
  const waiting = await delivery.message(id);
  expect((waiting.wake_at as Date).getTime()).toBeGreaterThan(Date.now() + 20_000);
  await delivery.sweep();
  await delivery.until(async () => (await delivery.message(id)).attempts === 2);
  await delivery.sql(`update messages set queued_at = now() - interval '121 hours' where id = $1`, [id]);
  await delivery.until(async () => (await delivery.message(id)).state === 'queued');
  await delivery.sweep();
  await settled(id);
  const reports = await reportsAbout(id);
  expect(reports.map(({ subject }) => subject)).toEqual([
    'Your message is delayed',
    'Your message could not be delivered',
  ]);
  expect(reports[0]!.text).toMatch(/Action: delayed\r\nStatus: 4\.3\.0[\s\S]*Will-Retry-Until:/);
  expect(reports[1]!.text).toMatch(/Action: failed\r\nStatus: 4\.3\.0/);
});

test('what policy refused is not told as a decision of a reviewer', async () => {
  await relayThrough({});
  const id = await delivery.queue();
  await delivery.sql(
    `update messages set state = 'rejected', dsn_owed = 'rejected',
            status_reason = 'the mailbox is read_only, and nothing leaves it' where id = $1`,
    [id],
  );
  delivery.ring(id);
  await settled(id);
  const [report] = await reportsAbout(id);
  expect(report!.subject).toBe('Your message was not accepted for sending');
  expect(report!.text).toContain('    The mailbox is read_only, and nothing leaves it.\r\n');
  expect(report!.text).toContain('Status: 5.7.1');
  expect(report!.text).not.toMatch(/reviewer|none given/);
});

test.each([
  ['rejected', 'rejected: too bold', "The reviewer's reason: too bold", '5.7.1'],
  ['expired', 'nobody decided in time', 'not approved in time', '5.4.7'],
] as const)('a message that is %s owes its sender word of it', async (owed, reason, words, status) => {
  await relayThrough({});
  const id = await delivery.queue();
  await delivery.sql(
    `with p as (insert into principals (id, kind, name) values ($2, 'user', 'rita') returning id)
     insert into approvals (id, message_id, decision, digest, principal_id, principal_name, reason)
     select $2, $1, 'reject', sha256('x'), id, 'rita', 'too bold' from p where $3 = 'rejected'`,
    [id, '0'.repeat(26), owed],
  );
  await delivery.sql('update messages set state = $2, dsn_owed = $2, status_reason = $3 where id = $1', [
    id,
    owed,
    reason,
  ]);
  delivery.ring(id);
  await settled(id);
  const [report] = await reportsAbout(id);
  expect(report!.text).toContain(words);
  expect(report!.text).toContain(`Status: ${status}`);
});

test('R-27, R-28: a hostile reply stays words: no header, no control character, no great length', async () => {
  const lines = Array.from({ length: 1200 }, (_, i) => `550-5.1.1 ${'x'.repeat(80)} ${i}`);
  const raw = [
    `550-5.1.1 no\u001b[2J <script>alert(1)</script>`,
    ...lines,
    '550 5.1.1 Bcc: x@evil.example',
  ].join('\r\n');
  await relayThrough({ rcpt: raw });
  const id = await send();
  await settled(id);
  const [report] = await reportsAbout(id);
  expect(report!.text).not.toMatch(/\u001b/);
  expect(report!.text).not.toMatch(/^(Bcc|<script)/m);
  expect(report!.text.length).toBeLessThan(8000);
  expect(report!.text).toMatch(/^Auto-Submitted: auto-replied\r$/m);
  expect(report!.text).toMatch(/^Message-ID: <[^<>]+>\r$/m);
  expect((await delivery.recipients(id))[0]!.reply_text!.length).toBeLessThanOrEqual(1024);
});
