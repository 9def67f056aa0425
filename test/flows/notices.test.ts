/** What is written to the people who oversee: that mail is held, still waits, or has expired. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { noticeRound, tellHeldNow } from '../../api/notices/notifying.ts';
import { system } from '../../core/mail/actor.ts';
import { updateAccount } from '../../core/store/account.ts';
import { expire } from '../../core/store/reviewing.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { type MailedNotice, mailedNotices } from '../support/notices.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({ oversight: { notices: true } });
  await api.runtime.listening.ready();
});
afterAll(() => api.close());

const pool = () => api.runtime.database.pool;
const round = () => noticeRound(api.runtime);

/** An address nobody was written to yet: so many notices a minute are for each address alone. */
let boss: string;
let count = 0;
async function overseen(mode: 'gated_send' | 'gated_all' = 'gated_send') {
  const mailbox = await api.mailbox(`m${count}@ours.example`, mode);
  await pool().query('update mailboxes set oversight_address = $2 where id = $1', [mailbox.id, boss]);
  return mailbox;
}
beforeEach(async () => {
  count += 1;
  boss = `boss${count}@firm.example`;
  await pool().query(`update holds set closed_at = coalesce(closed_at, now()), expiry_owed = false`);
  await pool().query('delete from rate_limits');
});

async function mails(to = boss): Promise<MailedNotice[]> {
  return (await mailedNotices(pool())).filter((one) => one.to === to);
}
async function mailed(number: number, to = boss): Promise<MailedNotice[]> {
  await expect.poll(async () => (await mails(to)).length, { timeout: 10_000 }).toBe(number);
  return mails(to);
}
const linkIn = ({ text }: MailedNotice) => /^http:\/\/\S+(\/v1\/approve\/\S+)\s*$/m.exec(text)![1]!;
const audited = async (id: string, action: string) =>
  (await api.call('GET', `/v1/audit-log?message_id=${id}&action=${action}`, { key: api.keys.admin })).json
    .entries;
/** As if the hold had been made so long ago. */
const aged = (id: string, hours: number) =>
  pool().query(
    `update holds set held_at = held_at - make_interval(hours => $2), expires_at = expires_at - make_interval(hours => $2),
       notified_at = notified_at - make_interval(hours => $2) where message_id = $1`,
    [id, hours],
  );

describe('held mail', () => {
  test('is told once, to the oversight address of its mailbox, with all that a glance needs', async () => {
    const mailbox = await overseen();
    const id = await api.send(mailbox.id, {
      subject: 'Quarterly figures',
      markdown: 'First line.\n\nhttps://evil.example/v1/approve/x',
      agent: 'night-shift',
      attachments: [{ name: 'a.txt', content_base64: 'AAAA', content_type: 'text/plain' }],
    });
    const [mail] = await mailed(1);
    expect(mail!.subject).toBe('Approve? Quarterly figures');
    expect(mail!.text).toMatch(/^Why: {5}mail from m\d+@ours.example needs approval \(gated_send\)\s*$/m);
    expect(mail!.text).toMatch(/^To: {6}ana@remote\.example\s*$/m);
    expect(mail!.text).toMatch(/^By: {6}agent, as night-shift\s*$/m);
    expect(mail!.text).toMatch(/^Files: {3}a\.txt/m);
    expect(mail!.text).toMatch(/^Expires: \d{4}-/m);
    expect(mail!.text).toMatch(/^> First line\.\s*$/m);
    // what the sender wrote can pass for no line of ours
    expect(mail!.text).toMatch(/^> https:\/\/evil\.example/m);
    const page = await api.call('GET', linkIn(mail!));
    expect(`${page.status} ${page.text}`).toMatch(/^200 .*Quarterly figures/s);
    await tellHeldNow(api.runtime, [id]);
    await round();
    expect(await mails()).toHaveLength(1);
    expect(await audited(id, 'oversight.notified')).toHaveLength(1);
  });

  test('goes at once and is held by nobody, with a null reverse-path', async () => {
    await api.send((await overseen()).id);
    const [mail] = await mailed(1);
    const { rows } = await pool().query('select state, kind, reverse_path from messages where id = $1', [
      mail!.id,
    ]);
    expect(rows).toEqual([{ state: 'queued', kind: 'notice', reverse_path: '' }]);
  });

  test('of a mailbox without an address of its own is told to that of the account', async () => {
    const { id } = await api.mailbox('plain@ours.example', 'gated_send');
    const before = (await mails('operator@gateway.example')).length;
    await api.send(id);
    await mailed(before + 1, 'operator@gateway.example');
  });

  test('that comes in is told as well, and its sender is named', async () => {
    const mailbox = await overseen('gated_all');
    await api.receive(mailbox, { subject: 'From outside' });
    const [mail] = await mailed(1);
    expect(mail!.subject).toBe('Let in? From outside');
  });

  test('is told by the next round when nobody was told in passing', async () => {
    const mailbox = await overseen();
    await pool().query('update mailboxes set oversight_address = null where id = $1', [mailbox.id]);
    await updateAccount(pool(), { oversightAddress: null }, system('cli'));
    try {
      const id = await api.send(mailbox.id);
      await tellHeldNow(api.runtime, [id]);
      await pool().query('update mailboxes set oversight_address = $2 where id = $1', [mailbox.id, boss]);
      expect(await mails()).toEqual([]);
      await round();
      expect(await mails()).toHaveLength(1);
    } finally {
      await updateAccount(pool(), { oversightAddress: 'operator@gateway.example' }, system('cli'));
    }
  });

  test('is told once by two processes at the same moment', async () => {
    const mailbox = await overseen();
    await pool().query('update mailboxes set oversight_address = $2 where id = $1', [
      mailbox.id,
      mailbox.address,
    ]);
    const id = await api.send(mailbox.id);
    await pool().query('update mailboxes set oversight_address = $2 where id = $1', [mailbox.id, boss]);
    await Promise.all([1, 2, 3].map(() => tellHeldNow(api.runtime, [id])));
    await Promise.all([1, 2, 3].map(round));
    expect(await mails()).toHaveLength(1);
  });

  test('of which there is more than five a minute becomes one mail for all, each with its link', async () => {
    const mailbox = await overseen();
    const ids: string[] = [];
    for (let n = 0; n < 9; n++) ids.push(await api.send(mailbox.id, { subject: `Number ${n}` }));
    // by then all of them were told in passing
    await new Promise((go) => setTimeout(go, 1_000));
    const single = (await mails()).length;
    expect(single).toBeLessThanOrEqual(5);
    await round();
    const [many, ...others] = await mails();
    expect(others).toHaveLength(single);
    expect(many!.subject).toBe(`${9 - single} messages wait for your decision`);
    expect(many!.text.match(/\/v1\/approve\//g)).toHaveLength(9 - single);
    expect((await api.call('GET', linkIn(many!))).status).toBe(200);
    await round();
    expect(await mails()).toHaveLength(single + 1);
    for (const id of ids) expect(await audited(id, 'oversight.notified')).toHaveLength(1);
  });

  test('that was edited while it waits is told again, with a link to what it is now', async () => {
    const id = await api.send((await overseen()).id);
    const [first] = await mailed(1);
    const key = api.keys.reviewer;
    const { json } = await api.call('GET', `/v1/oversight/emails/${id}`, { key });
    const body = { email_id: id, content_digest: json.content_digest, markdown: 'Edited.' };
    expect((await api.call('POST', '/v1/oversight/edit', { key, body })).status).toBe(200);
    await round();
    const [second] = await mailed(2);
    expect(linkIn(second!)).not.toBe(linkIn(first!));
    expect((await api.call('GET', linkIn(second!))).text).toContain('Edited.');
  });
});

describe('nobody is written to', () => {
  test('about mail that was decided before its notice was written', async () => {
    const mailbox = await overseen();
    await pool().query('update mailboxes set oversight_address = $2 where id = $1', [
      mailbox.id,
      mailbox.address,
    ]);
    const id = await api.send(mailbox.id);
    await api.call('POST', '/v1/oversight/decide', {
      key: api.keys.reviewer,
      body: { email_id: id, action: 'reject' },
    });
    await pool().query('update mailboxes set oversight_address = $2 where id = $1', [mailbox.id, boss]);
    await round();
    expect(await mails()).toEqual([]);
  });

  test.each(['%', 'Tagged+x@'])(
    'in a mailbox of ours (%s), where programs read and notices could be held',
    async (form) => {
      const local = form === '%' ? `trap${count}` : 'tagged';
      await api.mailbox(`${local}@ours.example`, 'gated_all');
      boss = form === '%' ? `${local}@ours.example` : 'Tagged+x@ours.example';
      await api.send((await overseen()).id);
      await round();
      expect(await mails()).toEqual([]);
    },
  );

  test('about spam that is kept apart', async () => {
    const mailbox = await overseen();
    const id = await api.receive(mailbox);
    await api.call('POST', `/v1/emails/${id}/report-spam`, { key: api.keys.agent });
    await round();
    await aged(id, 167);
    await round();
    expect(await mails()).toEqual([]);
  });

  test('about a notice of ours that came back: no loop', async () => {
    const mailbox = await overseen('gated_all');
    await api.receive(mailbox, { subject: 'The first' });
    const [mail] = await mailed(1);
    await api.receive(mailbox, {
      subject: mail!.subject,
      'Message-ID': `<${mail!.id.toLowerCase()}@gateway.example>`,
    });
    await round();
    expect(await mails()).toHaveLength(1);
  });

  test('where the configuration wants no notices', async () => {
    const quiet = await startTestApi();
    try {
      await quiet.send((await quiet.mailbox('quiet@ours.example', 'gated_send')).id);
      await new Promise((go) => setTimeout(go, 600));
      expect(await mailedNotices(quiet.runtime.database.pool)).toEqual([]);
    } finally {
      await quiet.close();
    }
  });
});

describe('at half time', () => {
  test('there is one reminder for an address, for all that still waits, and only one', async () => {
    const mailbox = await overseen();
    const [one, other, decided] = [
      await api.send(mailbox.id, { subject: 'One' }),
      await api.send(mailbox.id, { subject: 'Other' }),
      await api.send(mailbox.id, { subject: 'Decided' }),
    ];
    await mailed(3);
    await round();
    expect(await mails()).toHaveLength(3);
    await api.call('POST', '/v1/oversight/decide', {
      key: api.keys.reviewer,
      body: { email_id: decided, action: 'approve' },
    });
    for (const id of [one, other]) await aged(id!, 85);
    await round();
    const [reminder] = await mailed(4);
    expect(reminder!.subject).toBe('2 messages still wait for your decision');
    expect(reminder!.text).toContain('One');
    expect(reminder!.text).toContain('Other');
    expect(reminder!.text).not.toContain('Decided');
    expect((await api.call('GET', linkIn(reminder!))).status).toBe(200);
    await pool().query('delete from rate_limits');
    await round();
    expect(await mails()).toHaveLength(4);
    expect(await audited(one!, 'oversight.reminded')).toHaveLength(1);
    expect(await audited(decided!, 'oversight.reminded')).toEqual([]);
  });

  test('who is told only then gets no reminder on top', async () => {
    const mailbox = await overseen();
    await pool().query('update mailboxes set oversight_address = $2 where id = $1', [
      mailbox.id,
      mailbox.address,
    ]);
    const id = await api.send(mailbox.id);
    await aged(id, 100);
    await pool().query('update mailboxes set oversight_address = $2 where id = $1', [mailbox.id, boss]);
    await round();
    await round();
    expect(await mails()).toHaveLength(1);
  });
});

describe('what expired', () => {
  test('of inbound mail is told to the overseer, once, and to no stranger', async () => {
    const mailbox = await overseen('gated_all');
    const id = await api.receive(mailbox, { subject: 'Nobody looked' });
    await mailed(1);
    await aged(id, 200);
    await expire(api.runtime.database, [id]);
    await round();
    const [told] = await mailed(2);
    expect(told!.subject).toBe('A message expired undecided');
    expect(told!.text).toContain('Nobody looked');
    expect(told!.text).not.toContain('/v1/approve/');
    await pool().query('delete from rate_limits');
    await round();
    expect(await mails()).toHaveLength(2);
    const { rows } = await pool().query(
      `select 1 from messages where forward_paths @> '{ana@remote.example}' and kind <> 'mail'`,
    );
    expect(rows).toEqual([]);
  });

  test('of outgoing mail is told by its status alone', async () => {
    const id = await api.send((await overseen()).id);
    await mailed(1);
    await aged(id, 200);
    await expire(api.runtime.database, [id]);
    await round();
    expect(await mails()).toHaveLength(1);
  });
});
