import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import type { Room } from '../../core/runtime/runtime.ts';
import { hurry } from '../../core/store/overview.ts';
import { startDelivery } from '../../delivery/main.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let delivery: Room;
beforeAll(async () => {
  api = await startTestApi();
  delivery = await startDelivery(api.runtime);
});
afterAll(async () => {
  await delivery.close();
  await api.close();
});

test('mail of a capture route ends in the box, byte for byte as it was stored, below the marks it leaves with', async () => {
  const mailbox = await api.mailbox('box@ours.example', 'autonomous');
  const { admin, agent } = api.keys;
  const sent = await api.call('POST', `/v1/mailboxes/${mailbox.id}/send`, {
    key: agent,
    body: { to: 'ana@remote.example', bcc: ['bob@remote.example'], subject: 'Captured', text: 'x' },
  });
  const { id } = sent.json;
  const done = await api.until(id, 'sent');
  expect(done.delivered_at).not.toBeNull();
  expect(done.recipients).toMatchObject([
    { address: 'ana@remote.example', status: 'relayed', reply: expect.stringMatching(/^250 2\.0\.0 /) },
    { address: 'bob@remote.example', status: 'relayed' },
  ]);

  const { json } = await api.call('GET', `/v1/capture?to=BOB@remote.example`, { key: agent });
  expect(json.captures).toMatchObject([
    { message_id: id, subject: 'Captured', reverse_path: 'box@ours.example' },
  ]);
  const capture = json.captures[0].id;
  expect((await api.call('GET', `/v1/capture/${capture}`, { key: agent })).json).toEqual(json.captures[0]);
  const raw = await api.call('GET', `/v1/capture/${capture}/raw`, { key: agent });
  const stored = await api.call('GET', `/v1/emails/${id}/raw`, { key: agent });
  expect(raw.text).toMatch(/^X-MultiMail-Identity:/);
  expect(raw.text.endsWith(`\r\n${stored.text}`)).toBe(true);
  expect(raw.headers.get('content-disposition')).toMatch(/^attachment/);

  const other = await api.mailbox('box-other@ours.example', 'autonomous');
  const bound = (await api.key({ scopes: ['read'], mailboxId: other.id })).apiKey;
  expect((await api.call('GET', '/v1/capture', { key: bound })).json.captures).toEqual([]);
  expect((await api.call('GET', `/v1/capture/${capture}/raw`, { key: bound })).status).toBe(404);

  expect((await api.call('DELETE', '/v1/capture', { key: agent })).status).toBe(403);
  expect((await api.call('DELETE', '/v1/capture', { key: admin })).json).toMatchObject({ status: 'emptied' });
  expect((await api.call('GET', '/v1/capture', { key: admin })).json.captures).toEqual([]);
});

test('a message that has left can neither be cancelled, retried nor settled', async () => {
  const mailbox = await api.mailbox('gone@ours.example', 'autonomous');
  const sent = await api.call('POST', `/v1/mailboxes/${mailbox.id}/send`, {
    key: api.keys.admin,
    body: { to: 'ana@remote.example', subject: 's', text: 'x' },
  });
  await api.until(sent.json.id, 'sent');
  const ask = (verb: string, body?: object) =>
    api.call('POST', `/v1/emails/${sent.json.id}/${verb}`, { key: api.keys.admin, body });
  expect(await ask('cancel')).toMatchObject({
    status: 409,
    json: { code: 'already_handed_off', current_status: 'sent' },
  });
  expect(await ask('retry')).toMatchObject({
    status: 409,
    json: { code: 'wrong_status', current_status: 'sent' },
  });
  // also when it left just after somebody looked
  expect(await hurry(api.runtime.database.pool, sent.json.id, system('cli'))).toBe(false);
  expect(await ask('settle', { outcome: 'failed' })).toMatchObject({
    status: 409,
    json: { code: 'wrong_status' },
  });
});

test('put-off mail is tried at once when an admin says so', async () => {
  const mailbox = await api.mailbox('putoff@ours.example', 'gated_send');
  const id = await api.send(mailbox.id);
  const { pool } = api.runtime.database;
  await pool.query(
    `update messages set state = 'queued', effective_mode = 'autonomous', next_attempt_at = now() + interval '1 hour',
       wake_at = now() + interval '1 hour', attempts = 1 where id = $1`,
    [id],
  );
  await pool.query(`update mailboxes set oversight_mode = 'autonomous' where id = $1`, [mailbox.id]);
  const told = await api.call('GET', `/v1/emails/${id}/explain`, { key: api.keys.admin });
  expect(told.json.because.join(' ')).toMatch(/put off after one attempt/);
  const retried = await api.call('POST', `/v1/emails/${id}/retry`, { key: api.keys.admin });
  expect(retried).toMatchObject({ status: 200, json: { id, status: 'queued' } });
  await api.until(id, 'sent');
  const log = await api.call('GET', `/v1/audit-log?message_id=${id}&action=message.rescheduled`, {
    key: api.keys.admin,
  });
  expect(log.json.entries).toHaveLength(1);
});

test('mail in doubt waits for an admin, who settles it', async () => {
  const mailbox = await api.mailbox('doubt@ours.example', 'gated_send');
  const { pool } = api.runtime.database;
  const doubted = async () => {
    const id = await api.send(mailbox.id);
    await pool.query(`update messages set state = 'in_doubt' where id = $1`, [id]);
    await pool.query(`update recipients set status = 'in_doubt' where message_id = $1`, [id]);
    return id;
  };
  const id = await doubted();
  const told = await api.call('GET', `/v1/emails/${id}/explain`, { key: api.keys.admin });
  expect(told.json.next.join(' ')).toMatch(/admin settles it/);
  expect(
    (await api.call('POST', `/v1/emails/${id}/settle`, { key: api.keys.agent, body: { outcome: 'sent' } }))
      .status,
  ).toBe(403);
  const settled = await api.call('POST', `/v1/emails/${id}/settle`, {
    key: api.keys.admin,
    body: { outcome: 'sent', reason: 'they have it' },
  });
  expect(settled).toMatchObject({ status: 200, json: { id, status: 'sent' } });
  const failed = await doubted();
  expect(
    (
      await api.call('POST', `/v1/emails/${failed}/settle`, {
        key: api.keys.admin,
        body: { outcome: 'failed' },
      })
    ).json.status,
  ).toBe('send_failed');
});

test('the queue tells what waits and which route is closed, and opens it', async () => {
  const mailbox = await api.mailbox('queue@ours.example', 'gated_send');
  await api.send(mailbox.id);
  await api.runtime.database.pool.query(
    `insert into paused_routes (name, reason, probe_at) values ('slow', 'its password was refused', now() + interval '1 hour')`,
  );
  const { json } = await api.call('GET', '/v1/queue', { key: api.keys.admin });
  expect(json).toMatchObject({
    backend: 'postgres',
    states: { held: { count: expect.any(Number) } },
    paused_routes: [{ name: 'slow', reason: 'its password was refused' }],
  });
  const resume = () => api.call('POST', '/v1/routes/slow/resume', { key: api.keys.admin });
  expect(await resume()).toMatchObject({ status: 200, json: { name: 'slow', status: 'resumed', due: 0 } });
  expect((await resume()).status).toBe(404);
});
