import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { ensureAccount } from '../../core/store/account.ts';
import { approve } from '../../policy/review.ts';
import { type Oversight, openOversight, type Row } from '../support/oversight.ts';

let oversight: Oversight;
beforeAll(async () => {
  oversight = await openOversight();
});
afterAll(() => oversight.close());

const HOUR = 3_600_000;

test('mail of an autonomous mailbox is released at once, and delivery is rung', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'autonomous' });
  const id = await oversight.accept({ mailboxId });
  const { wake_at } = await oversight.message(id);
  oversight.rung();
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({
    state: 'queued',
    effective_mode: 'autonomous',
    released_by: 'mode',
    wake_at,
  });
  expect(oversight.rung()).toEqual([id]);
  expect(
    (await oversight.audit(id)).map(({ action, from_state, to_state }) => [action, from_state, to_state]),
  ).toEqual([
    ['message.accepted', null, 'received'],
    ['message.released', 'received', 'queued'],
  ]);
});

test('mail of a gated mailbox is held with its reasons until the mailbox says', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'gated_send', holdExpiryHours: 2 });
  const id = await oversight.accept({ mailboxId });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'held', effective_mode: 'gated_send' });
  const hold = await oversight.hold(id);
  expect(hold?.reasons).toEqual([expect.stringMatching(/needs approval \(gated_send\)/)]);
  expect(hold!.expires_at.getTime() - Date.now()).toBeGreaterThan(1.9 * HOUR);
  expect(hold!.expires_at.getTime() - Date.now()).toBeLessThan(2.1 * HOUR);
  expect((await oversight.message(id)).wake_at).toEqual(hold!.expires_at);
  expect(oversight.rung()).toEqual([]);
});

test('a caller can tighten a monitored mailbox, and not loosen a gated one', async () => {
  const monitored = await oversight.mailbox({ mode: 'monitored' });
  const gated = await oversight.mailbox({ mode: 'gated_all' });
  const tightened = await oversight.accept({ mailboxId: monitored, requestedMode: 'gated_send' });
  const loosened = await oversight.accept({ mailboxId: gated, requestedMode: 'autonomous' });
  await oversight.judge(tightened, loosened);
  expect(await oversight.message(tightened)).toMatchObject({ state: 'held', effective_mode: 'gated_send' });
  expect(await oversight.message(loosened)).toMatchObject({ state: 'held', effective_mode: 'gated_all' });
});

test('the allowlist lets mail pass only when every recipient is on it', async () => {
  const mailboxId = await oversight.mailbox();
  await oversight.allow(mailboxId, '*@partner.example');
  const all = await oversight.accept({ mailboxId, forwardPaths: ['a@partner.example', 'B@partner.example'] });
  const one = await oversight.accept({
    mailboxId,
    forwardPaths: ['a@partner.example', 'b@sub.partner.example'],
  });
  await oversight.judge(all, one);
  expect(await oversight.message(all)).toMatchObject({ state: 'queued', released_by: 'allowlist' });
  expect(await oversight.message(one)).toMatchObject({ state: 'held', released_by: null });
});

test.each(['submission', 'trusted', 'rest'] as const)(
  'mail by %s from a read_only mailbox is refused',
  async (source) => {
    const mailboxId = await oversight.mailbox({ mode: 'read_only' });
    const id = await oversight.accept({ mailboxId, source });
    oversight.rung();
    await oversight.judge(id);
    const owed = source === 'rest' ? null : 'rejected';
    expect(await oversight.message(id)).toMatchObject({ state: 'rejected', dsn_owed: owed });
    expect(oversight.rung()).toEqual(owed === null ? [] : [id]);
    expect((await oversight.message(id)).wake_at === null).toBe(owed === null);
  },
);

test('the overseer of a monitored mailbox gets a copy of the same bytes, once, by the route of the mailbox', async () => {
  const mailboxId = await oversight.mailbox({
    mode: 'monitored',
    oversightAddress: 'boss@elsewhere.example',
  });
  const id = await oversight.accept({ mailboxId });
  oversight.rung();
  await oversight.judge(id);
  const [copy, ...more] = await oversight.sql<{ id: string; kind: string }>(
    'select * from messages where about_id = $1',
    [id],
  );
  expect(more).toEqual([]);
  expect(copy).toMatchObject({
    kind: 'copy',
    direction: 'outbound',
    state: 'queued',
    mailbox_id: mailboxId,
    composer_id: null,
    reverse_path: '',
    forward_paths: ['boss@elsewhere.example'],
    content_id: (await oversight.message(id)).content_id,
    released_by: 'postern',
  });
  expect(oversight.rung().sort()).toEqual([id, copy!.id].sort());
  expect((await oversight.audit(id)).map(({ action }) => action)).toContain('message.copied');
  await oversight.judge(id, copy!.id);
  expect(
    await oversight.sql('select id from messages where about_id in ($1, $2)', [id, copy!.id]),
  ).toHaveLength(1);
});

test('a mailbox that names no overseer is overseen by the account, also for a message that asks for it', async () => {
  const db = oversight.database.pool;
  await ensureAccount(db, { oversightAddress: 'chief@elsewhere.example' }, system('cli'));
  const boxes = {
    own: await oversight.mailbox({ mode: 'monitored', oversightAddress: 'boss@elsewhere.example' }),
    none: await oversight.mailbox({ mode: 'monitored' }),
    asked: await oversight.mailbox({ mode: 'autonomous' }),
  };
  const ids = [
    await oversight.accept({ mailboxId: boxes.own }),
    await oversight.accept({ mailboxId: boxes.none }),
    await oversight.accept({ mailboxId: boxes.asked, requestedMode: 'monitored' }),
    await oversight.accept({ mailboxId: boxes.asked }),
  ];
  await oversight.judge(...ids);
  const copies = await oversight.sql<{ about_id: string; forward_paths: string[] }>(
    'select about_id, forward_paths from messages where about_id = any($1)',
    [ids],
  );
  const copiedTo = new Map(copies.map((one) => [one.about_id, one.forward_paths]));
  expect(ids.map((id) => copiedTo.get(id))).toEqual([
    ['boss@elsewhere.example'],
    ['chief@elsewhere.example'],
    ['chief@elsewhere.example'],
    undefined,
  ]);
  await oversight.sql('update account set oversight_address = null');
});

test('a copy to the very mailbox that sent is one message there, and no copy of it follows', async () => {
  const address = 'narcissus@ours.example';
  const mailboxId = await oversight.mailbox({ address, mode: 'monitored', oversightAddress: address });
  const id = await oversight.accept({ mailboxId });
  await oversight.judge(id);
  const lying = await oversight.sql<{ id: string }>('select id from messages where mailbox_id = $1', [
    mailboxId,
  ]);
  expect(lying).toHaveLength(2);
  await oversight.judge(...lying.map((one) => one.id));
  expect(await oversight.sql('select id from messages where mailbox_id = $1', [mailboxId])).toEqual(lying);
});

describe('mail that comes to a mailbox that forwards', () => {
  const forwarding = async (address: string, oversightAddress: string | null = 'boss@elsewhere.example') => {
    const mailboxId = await oversight.mailbox({ address, mode: 'gated_send', oversightAddress });
    await oversight.sql('update mailboxes set forward_inbound = true where id = $1', [mailboxId]);
    return mailboxId;
  };
  const arrives = async (mailboxId: string, mail: { header?: string; reversePath?: string } = {}) => {
    const id = await oversight.accept({
      mailboxId,
      direction: 'inbound',
      source: 'mx',
      reversePath: 'ana@remote.example',
      forwardPaths: ['forwards@ours.example'],
      header: 'From: <ana@remote.example>\r\n',
      ...mail,
    });
    oversight.rung();
    await oversight.judge(id);
    expect(await oversight.message(id)).toMatchObject({ state: 'available' });
    const copies = await oversight.sql<Row>('select * from messages where about_id = $1', [id]);
    return { id, copies };
  };

  test('goes to the overseer as well, as a delivery of its own', async () => {
    const mailboxId = await forwarding('forwards@ours.example');
    const { id, copies } = await arrives(mailboxId);
    expect(copies).toEqual([
      expect.objectContaining({
        kind: 'copy',
        direction: 'outbound',
        state: 'queued',
        mailbox_id: mailboxId,
        reverse_path: '',
        forward_paths: ['boss@elsewhere.example'],
        content_id: (await oversight.message(id)).content_id,
      }),
    ]);
    expect(oversight.rung()).toEqual([copies[0]!.id]);
    expect((await oversight.audit(id)).map(({ action }) => action)).toContain('message.copied');
  });

  test.each([
    ['it is a report', { reversePath: '' }],
    [
      'it was here before',
      {
        header:
          'Received: from a by gateway.example; x\r\nReceived: from b by mx.ours.example; x\r\nFrom: <ana@remote.example>\r\n',
      },
    ],
    ['nobody wrote it', { header: 'Auto-Submitted: auto-replied\r\nFrom: <ana@remote.example>\r\n' }],
    ['the overseer wrote it', { header: 'From: <Boss@elsewhere.example>\r\n' }],
    ['the overseer sent it', { reversePath: 'boss@elsewhere.example' }],
  ])('goes nowhere else when %s', async (_, mail) => {
    expect((await arrives(await forwarding(`guard-${newId()}@ours.example`), mail)).copies).toEqual([]);
  });

  test('does not go to the mailbox it came to, nor from one of ours back and forth', async () => {
    const own = await forwarding('mirror@ours.example', 'mirror@ours.example');
    expect((await arrives(own)).copies).toEqual([]);
    const left = await forwarding('left@ours.example', 'right@ours.example');
    const right = await forwarding('right@ours.example', 'left@ours.example');
    const { copies } = await arrives(left);
    expect(copies).toEqual([expect.objectContaining({ mailbox_id: right, state: 'available' })]);
    await oversight.judge(copies[0]!.id);
    expect(await oversight.sql('select id from messages where about_id = $1', [copies[0]!.id])).toEqual([]);
  });
});

test('a copy for a mailbox of ours lies there at once', async () => {
  const boss = await oversight.mailbox({ address: 'Boss@ours.example', mode: 'gated_all' });
  const mailboxId = await oversight.mailbox({ mode: 'monitored', oversightAddress: 'boss@ours.example' });
  const id = await oversight.accept({ mailboxId });
  oversight.rung();
  await oversight.judge(id);
  const [copy] = await oversight.sql('select * from messages where about_id = $1', [id]);
  expect(copy).toMatchObject({ direction: 'inbound', state: 'available', mailbox_id: boss, wake_at: null });
  expect(oversight.rung()).toEqual([id]);
});

test.each(['autonomous', 'gated_send'])('mail of a %s mailbox is copied to nobody', async (mode) => {
  const mailboxId = await oversight.mailbox({ mode, oversightAddress: 'boss@elsewhere.example' });
  await oversight.allow(mailboxId, 'ana@remote.example');
  const id = await oversight.accept({ mailboxId });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'queued' });
  expect(await oversight.sql('select id from messages where about_id = $1', [id])).toEqual([]);
});

test('nobody gets a copy when no overseer is named', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'monitored' });
  const id = await oversight.accept({ mailboxId });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'queued' });
  expect(await oversight.sql('select id from messages where about_id = $1', [id])).toEqual([]);
});

test.each([
  ['gated_all', 'held'],
  ['gated_send', 'available'],
  ['read_only', 'available'],
])('inbound mail of a %s mailbox is then %s', async (mode, state) => {
  const mailboxId = await oversight.mailbox({ mode });
  const id = await oversight.accept({ mailboxId, direction: 'inbound', source: 'mx' });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state, dsn_owed: null });
});

test('a hold whose time has passed expires, and who came by SMTP is told', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'gated_all' });
  const bySmtp = await oversight.accept({ mailboxId });
  const byRest = await oversight.accept({ mailboxId, source: 'rest' });
  const inbound = await oversight.accept({ mailboxId, direction: 'inbound', source: 'mx' });
  const fresh = await oversight.accept({ mailboxId });
  await oversight.judge(bySmtp, byRest, inbound, fresh);
  const old = [bySmtp, byRest, inbound];
  await oversight.sql(`update holds set expires_at = now() where message_id = any($1)`, [old]);
  oversight.rung();
  await oversight.judge(...old, fresh);
  const rows = await Promise.all([...old, fresh].map((id) => oversight.message(id)));
  expect(rows.map(({ state, dsn_owed }) => [state, dsn_owed])).toEqual([
    ['expired', 'expired'],
    ['expired', null],
    ['expired', null],
    ['held', null],
  ]);
  expect(oversight.rung()).toEqual([bySmtp]);
  expect(await oversight.hold(bySmtp)).toBeUndefined();
});

/** Says that the hour of a scheduled message has come. */
async function timeComes(id: string): Promise<void> {
  await oversight.sql(`update messages set send_at = now(), wake_at = now() where id = $1`, [id]);
  await oversight.judge(id);
}

test('ungated mail with a time ahead waits for it and goes then', async () => {
  const mailboxId = await oversight.mailbox({
    mode: 'monitored',
    oversightAddress: 'boss@elsewhere.example',
  });
  const sendAt = new Date(Date.now() + HOUR);
  const id = await oversight.accept({ mailboxId, sendAt });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({
    state: 'scheduled',
    wake_at: sendAt,
    released_by: null,
  });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'scheduled' });
  expect(await oversight.sql('select id from messages where about_id = $1', [id])).toEqual([]);
  await timeComes(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'queued', released_by: 'mode' });
  expect(await oversight.sql('select id from messages where about_id = $1', [id])).toHaveLength(1);
});

test('a time that has passed means now', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'autonomous' });
  const id = await oversight.accept({ mailboxId, sendAt: new Date(Date.now() - HOUR) });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'queued' });
});

async function approveNow(id: string) {
  const { digest } = await oversight.message(id);
  return approve(oversight.house, {
    messageId: id,
    digest: digest.toString('hex'),
    principal: await oversight.principal(),
    actor: system('api'),
  });
}

test('gate_first: approved now, sent at its time', async () => {
  const mailboxId = await oversight.mailbox({ gateTiming: 'gate_first' });
  const sendAt = new Date(Date.now() + HOUR);
  const id = await oversight.accept({ mailboxId, sendAt });
  await oversight.judge(id);
  expect((await oversight.message(id)).state).toBe('held');
  oversight.rung();
  expect(await approveNow(id)).toMatchObject({ state: 'scheduled' });
  expect(oversight.rung()).toEqual([]);
  expect(await oversight.message(id)).toMatchObject({ wake_at: sendAt });
  await timeComes(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'queued', released_by: 'approval' });
});

test('schedule_first: waits first, and is held when its time has come', async () => {
  const mailboxId = await oversight.mailbox();
  const id = await oversight.accept({
    mailboxId,
    sendAt: new Date(Date.now() + HOUR),
    gateTiming: 'schedule_first',
  });
  await oversight.judge(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'scheduled', effective_mode: 'gated_send' });
  await timeComes(id);
  expect((await oversight.message(id)).state).toBe('held');
  expect(await approveNow(id)).toMatchObject({ state: 'queued' });
});

test('an approval that comes after its time sends at once', async () => {
  const mailboxId = await oversight.mailbox();
  const id = await oversight.accept({ mailboxId, sendAt: new Date(Date.now() + HOUR) });
  await oversight.judge(id);
  await oversight.sql(`update messages set send_at = now() where id = $1`, [id]);
  expect(await approveNow(id)).toMatchObject({ state: 'queued' });
});

test.each([
  ['gated_all', 'queued'],
  ['read_only', 'held'],
])('A-09 an approved message whose mailbox became %s before its time is then %s', async (mode, state) => {
  const mailboxId = await oversight.mailbox();
  const id = await oversight.accept({ mailboxId, sendAt: new Date(Date.now() + HOUR) });
  await oversight.judge(id);
  await approveNow(id);
  await oversight.sql('update mailboxes set oversight_mode = $2 where id = $1', [mailboxId, mode]);
  await timeComes(id);
  expect(await oversight.message(id)).toMatchObject({ state });
});

test('a scheduled message whose digest was touched has lost its approval', async () => {
  const mailboxId = await oversight.mailbox();
  const id = await oversight.accept({ mailboxId, sendAt: new Date(Date.now() + HOUR) });
  await oversight.judge(id);
  await approveNow(id);
  await oversight.sql(`update messages set digest = sha256('other') where id = $1`, [id]);
  await timeComes(id);
  expect(await oversight.message(id)).toMatchObject({ state: 'held' });
});

test('a verdict that the database refuses ends in a hold with that reason, at once', async () => {
  const odd = await oversight.mailbox({ mode: 'autonomous' });
  const plain = await oversight.mailbox({ mode: 'autonomous' });
  await oversight.sql(
    `alter table messages add constraint refused check (mailbox_id <> '${odd}' or state <> 'queued')`,
  );
  const [refused, other] = [
    await oversight.accept({ mailboxId: odd }),
    await oversight.accept({ mailboxId: plain }),
  ];
  await oversight.judge(refused, other);
  expect((await oversight.message(other)).state).toBe('queued');
  expect(await oversight.message(refused)).toMatchObject({ state: 'held', effective_mode: 'gated_all' });
  expect((await oversight.hold(refused))!.reasons).toEqual([expect.stringContaining('could not be written')]);
  await oversight.sql('alter table messages drop constraint refused');
});

test('two hundred bells twice over, and ids that do not exist, end in one verdict each', async () => {
  const mailboxId = await oversight.mailbox({ mode: 'autonomous' });
  const ids = await Promise.all(Array.from({ length: 250 }, () => oversight.accept({ mailboxId })));
  await oversight.judge(...ids, ...ids, newId());
  const [counted] = await oversight.sql<{ n: number }>(
    `select count(*) as n from audit_events where action = 'message.released' and resource_id = any($1)`,
    [ids],
  );
  expect(counted?.n).toBe(250);
});
