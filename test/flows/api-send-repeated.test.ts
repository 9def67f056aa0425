import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startApi } from '../../api/main.ts';
import type { Mode } from '../../core/mail/mode.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { testRuntime } from '../support/runtime.ts';
import { countOf, newSender, rowsOf } from '../support/sending.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({ api: { duplicate_window: 60 } });
});
afterAll(() => api?.close());

const sender = (mode?: Mode) => newSender(api, mode);
const rows = (text: string, ...values: unknown[]) => rowsOf(api, text, values);
const db = () => api.runtime.database.pool;

describe('a request that is repeated', () => {
  test('under its key sends nothing twice, and hears of the first message as it is now', async () => {
    const box = await sender('gated_send');
    const first = await box.send({ idempotency_key: 'k1' });
    await api.until(first.json.id, 'pending_send_approval');
    const { id } = first.json;
    for (const again of [
      await box.send({ idempotency_key: 'k1' }),
      await box.send({}, { 'idempotency-key': 'k1' }),
    ])
      expect(again).toMatchObject({
        status: 200,
        json: {
          id,
          email_id: id,
          message_id: id,
          thread_id: id,
          status: 'already_sent',
          idempotent: true,
          current_status: 'pending_send_approval',
          pending_approval: true,
          oversight_mode: 'gated_send',
        },
      });
    expect(await box.send({ idempotency_key: 'k1', subject: 'Other' })).toMatchObject({
      status: 409,
      json: { code: 'idempotency_mismatch' },
    });
    expect((await box.send({ idempotency_key: 'k1' }, { 'idempotency-key': 'k2' })).json.code).toBe(
      'conflicting_fields',
    );
    expect(await countOf(api, box.id)).toBe(1);
  });

  test('under its key is answered although its time has passed by now', async () => {
    const box = await sender();
    const send_at = new Date(Date.now() + 3_600_000).toISOString();
    const { json } = await box.send({ idempotency_key: 'k', send_at });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 7_200_000 });
    try {
      expect((await box.send({ send_at })).json.code).toBe('send_at_past');
      expect(await box.send({ idempotency_key: 'k', send_at })).toMatchObject({
        status: 200,
        json: { id: json.id, status: 'already_sent' },
      });
    } finally {
      vi.useRealTimers();
    }
  });

  test('does not use up its key where it was refused for its form', async () => {
    const box = await sender();
    expect((await box.send({ idempotency_key: 'k', to: ['bad'] })).status).toBe(422);
    expect((await box.send({ idempotency_key: 'k' })).status).toBe(202);
  });

  test('without a key is refused for a while, and names the first', async () => {
    const box = await sender();
    const first = await box.send({ to: ['a@remote.example', 'b@remote.example'] });
    const again = await box.send({ to: ['b@remote.example', 'a@remote.example'] });
    expect(again).toMatchObject({ status: 409, json: { code: 'duplicate', existing_id: first.json.id } });
    expect((await box.send({ to: ['a@remote.example', 'b@remote.example'], markdown: 'Other' })).status).toBe(
      202,
    );
    expect(
      (await box.send({ to: ['a@remote.example', 'b@remote.example'], idempotency_key: 'meant' })).status,
    ).toBe(202);
    await rows(
      `update recent_sends set created_at = now() - interval '61 seconds' where mailbox_id = $1`,
      box.id,
    );
    expect((await box.send({ to: ['a@remote.example', 'b@remote.example'] })).status).toBe(202);
  });

  test('without a key is sent where the first was withdrawn', async () => {
    const box = await sender('gated_send');
    const first = await box.send();
    await api.until(first.json.id, 'pending_send_approval');
    const cancelled = await box.cancel(first.json.id);
    expect(cancelled.status).toBe(200);
    expect((await box.send()).status).toBe(202);
    expect((await box.send()).json.code).toBe('duplicate');
  });

  test('many times at once, at two processes, is one message', async () => {
    const box = await sender();
    const runtime = await testRuntime({}, { databaseUrl: api.runtime.database.url });
    const other = await startApi(runtime);
    try {
      const urls = [api.url, other.url];
      const named = await Promise.all(
        Array.from({ length: 30 }, (_, n) => box.send({ idempotency_key: 'same' }, {}, urls[n % 2])),
      );
      const statuses = named.map(({ status }) => status);
      expect(statuses.filter((status) => status === 202)).toHaveLength(1);
      expect(statuses.every((status) => status === 202 || status === 200)).toBe(true);
      expect(new Set(named.map(({ json }) => json.id)).size).toBe(1);
      const unnamed = await Promise.all(
        Array.from({ length: 30 }, (_, n) => box.send({ subject: 'Unnamed' }, {}, urls[n % 2])),
      );
      expect(unnamed.filter(({ status }) => status === 202)).toHaveLength(1);
      expect(unnamed.filter(({ json }) => json.code === 'duplicate')).toHaveLength(29);
      expect(await countOf(api, box.id)).toBe(2);
      expect(
        (
          await rows(
            'select count(*)::int as n from compositions c join messages m on m.id = c.message_id where m.mailbox_id = $1',
            box.id,
          )
        )[0].n,
      ).toBe(2);
    } finally {
      await other.close();
      await runtime.close();
    }
  });

  test('while somebody has its key and does not come to an end is told so, and keeps no neighbour waiting', async () => {
    const box = await sender();
    const client = await db().connect();
    try {
      await client.query('begin');
      await client.query(
        `insert into idempotency_keys (mailbox_id, operation, key, message_id, request_sha256)
         values ($1, 'send_email', 'stuck', $1, '\\x00')`,
        [box.id],
      );
      const [stuck, neighbour] = await Promise.all([
        box.send({ idempotency_key: 'stuck' }),
        box.send({ idempotency_key: 'free', subject: 'Neighbour' }),
      ]);
      expect(stuck).toMatchObject({ status: 409, json: { code: 'idempotency_in_flight' } });
      expect(stuck.headers.get('retry-after')).toBe('1');
      expect(neighbour.status).toBe(202);
    } finally {
      await client.query('rollback');
      client.release();
    }
    expect((await box.send({ idempotency_key: 'stuck' })).status).toBe(202);
  });
});
