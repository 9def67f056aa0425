import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { setMode, updateMailbox } from '../../core/store/accounts.ts';
import type { Db } from '../../core/store/database.ts';
import { issueCode } from '../../core/store/operator-codes.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { mailedNotices } from '../support/notices.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const db = () => api.runtime.database.pool;
const request = (mailbox: string, target_mode: string, key = api.keys.agent) =>
  api.call('POST', `/v1/mailboxes/${mailbox}/request-upgrade`, { key, body: { target_mode } });
const apply = (mailbox: string, code: string, key = api.keys.agent) =>
  api.call('POST', `/v1/mailboxes/${mailbox}/upgrade`, { key, body: { code } });
const modeOf = async (id: string) =>
  (await api.call('GET', `/v1/mailboxes/${id}`, { key: api.keys.agent })).json.oversight_mode;
const invalid = { status: 403, json: { code: 'invalid_code' } };

test('an agent climbs the ladder with the code that a person was mailed', async () => {
  const { id, address } = await api.mailbox('climb@ours.example', 'gated_send');
  const asked = await request(id, 'monitored');
  expect(asked).toMatchObject({
    status: 200,
    json: {
      status: 'upgrade_requested',
      mailbox_id: id,
      target_mode: 'monitored',
      masked_email: 'o***@gateway.example',
    },
  });
  const lives = Date.parse(asked.json.expires_at) - Date.now();
  expect(lives).toBeGreaterThan(86_390_000);
  expect(lives).toBeLessThanOrEqual(86_400_000);
  const code = await api.code();
  expect(asked.text).not.toContain(code);
  const [mail] = await mailedNotices(db());
  expect(mail!.text).toContain(`change the mailbox "${address}" from gated_send to monitored`);
  expect(mail!.text).toContain('24 hours');

  expect(await apply(id, code.toLowerCase())).toMatchObject({
    status: 200,
    json: { status: 'upgraded', mailbox_id: id, oversight_mode: 'monitored', previous_mode: 'gated_send' },
  });
  expect(await modeOf(id)).toBe('monitored');
  expect(await apply(id, code)).toMatchObject(invalid);
  const log = await api.call('GET', `/v1/audit-log?mailbox=${id}`, { key: api.keys.admin });
  const told = log.json.entries.map(({ action }: { action: string }) => action);
  for (const action of ['mode.upgrade_requested', 'code.sent', 'code.used', 'code.failed', 'mode.upgraded'])
    expect(told).toContain(action);
  expect(log.text).not.toContain(code);
});

test('nothing asked for is 404; a wrong code is 403', async () => {
  const { id } = await api.mailbox('none@ours.example', 'gated_send');
  expect(await apply(id, 'A7X-29K')).toMatchObject({ status: 404, json: { code: 'no_pending_upgrade' } });
  await request(id, 'autonomous');
  expect(await apply(id, '222-222')).toMatchObject(invalid);
  expect(await apply('nobody@ours.example', 'x')).toMatchObject({ status: 404, json: { code: 'not_found' } });
});

test('what is no upgrade is refused, and nobody is mailed', async () => {
  const { id } = await api.mailbox('tight@ours.example', 'monitored');
  const before = (await mailedNotices(db())).length;
  for (const target of ['monitored', 'gated_all', 'read_only', 'AUTONOMOUS', 'free'])
    expect(await request(id, target)).toMatchObject({ status: 400, json: { code: 'not_an_upgrade' } });
  expect((await mailedNotices(db())).length).toBe(before);
});

test('a new request replaces the code of the old one; each is for one mailbox and its target', async () => {
  const one = await api.mailbox('one@ours.example', 'gated_send');
  const two = await api.mailbox('two@ours.example', 'gated_send');
  await request(one.id, 'autonomous');
  const first = await api.code();
  await request(one.id, 'monitored');
  const second = await api.code();
  await request(two.id, 'monitored');
  expect(await apply(two.id, second)).toMatchObject(invalid);
  expect(await apply(one.id, first)).toMatchObject(invalid);
  expect((await apply(one.id, second)).json.oversight_mode).toBe('monitored');
});

test('a mailbox that has changed its mode since is not what the code was for', async () => {
  const { id } = await api.mailbox('moved@ours.example', 'gated_send');
  await request(id, 'autonomous');
  const code = await api.code();
  await setMode(db(), id, 'gated_all', system('cli'));
  expect(await apply(id, code)).toMatchObject(invalid);
  expect(await modeOf(id)).toBe('gated_all');
});

test('ten wrong tries end it; so does a day', async () => {
  const { id } = await api.mailbox('guess@ours.example', 'gated_send');
  await request(id, 'autonomous');
  const code = await api.code();
  for (let i = 0; i < 10; i++) await apply(id, '222-222');
  expect(await apply(id, code)).toMatchObject(invalid);
  await request(id, 'autonomous');
  await db().query(
    `update operator_codes set expires_at = now() - interval '1 second' where subject_id = $1`,
    [id],
  );
  expect(await apply(id, await api.code())).toMatchObject(invalid);
  expect(await modeOf(id)).toBe('gated_send');
});

test('three requests an hour for each mailbox, whoever asks', async () => {
  const { id } = await api.mailbox('often@ours.example', 'gated_send');
  for (let i = 0; i < 3; i++) expect((await request(id, 'monitored')).status).toBe(200);
  const other = (await api.key({ scopes: ['send'], principal: { kind: 'agent', name: 'other' } })).apiKey;
  const refused = await request(id, 'monitored', other);
  expect(refused).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
});

test("the code goes to the mailbox's own overseer where it has one", async () => {
  const { id } = await api.mailbox('own@ours.example', 'gated_send');
  await updateMailbox(db(), id, { oversightAddress: 'ana@remote.example' }, system('cli'));
  expect((await request(id, 'monitored')).json.masked_email).toBe('a***@remote.example');
  expect((await mailedNotices(db()))[0]!.to).toBe('ana@remote.example');
});

test('the tool does both steps, and asks for what each needs', async () => {
  const { id } = await api.mailbox('tool@ours.example', 'read_only');
  const manage = (body: object) =>
    api.call('POST', '/v1/manage_upgrade', { key: api.keys.agent, body: { mailbox_id: id, ...body } });
  expect(await manage({ action: 'request' })).toMatchObject({
    status: 400,
    json: { code: 'missing_field', field: 'target_mode' },
  });
  expect(await manage({ action: 'apply' })).toMatchObject({ status: 400, json: { code: 'missing_field' } });
  expect((await manage({ action: 'request', target_mode: 'gated_all' })).json.status).toBe(
    'upgrade_requested',
  );
  expect((await manage({ action: 'apply', code: await api.code() })).json).toMatchObject({
    status: 'upgraded',
    oversight_mode: 'gated_all',
  });
});

test('it takes the scope send, and a bound key climbs in its own mailbox alone', async () => {
  const { id } = await api.mailbox('scope@ours.example', 'gated_send');
  const { id: theirs } = await api.mailbox('scope2@ours.example', 'gated_send');
  expect((await request(id, 'monitored', api.keys.reviewer)).status).toBe(403);
  const bound = (await api.key({ scopes: ['send'], mailboxId: id })).apiKey;
  expect((await request(theirs, 'monitored', bound)).status).toBe(404);
  expect((await request(id, 'monitored', bound)).status).toBe(200);
});

test('of two requests at the same moment one code is left', async () => {
  const { id } = await api.mailbox('crowd@ours.example', 'gated_send');
  const code = {
    purpose: 'upgrade',
    subjectId: id,
    operation: 'monitored',
    boundTo: Buffer.alloc(32),
    requestedBy: newId(),
    words: 'climb',
    lifeSeconds: 60,
    replaces: true,
  } as const;
  const issue = (on: Db) => issueCode(on, code, Buffer.alloc(32), system('cli'));
  const { transaction } = api.runtime.database;
  let over = false;
  let second: Promise<unknown> | undefined;
  await transaction(async (on) => {
    await issue(on);
    second = transaction(issue).finally(() => {
      over = true;
    });
    const waits =
      "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while (!over && (await db().query(waits)).rows.length === 0) await pause(10);
  });
  await second;
  const { rows } = await db().query(
    'select id from operator_codes where subject_id = $1 and used_at is null and dead_at is null',
    [id],
  );
  expect(rows).toHaveLength(1);
});
