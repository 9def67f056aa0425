/** Calls that name themselves by Idempotency-Key: the first counts, and who repeats it hears what the first heard. */
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { authenticator } from '../../api/access/authentication.ts';
import { mountOperations } from '../../api/http/rest.ts';
import { buildServer } from '../../api/http/server.ts';
import { Answer, type Operation, operation } from '../../api/operation.ts';
import { Problem } from '../../api/problem.ts';
import { openDoor } from '../../api/sending/door.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

/** What the operations below did, and what they are to do next. */
const done: string[] = [];
let next: (() => Promise<unknown>) | undefined;

const make = operation({
  name: 'make_thing',
  summary: 'Make a thing',
  area: 'support',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/things',
  status: 201,
  input: z.object({ name: z.string().max(20), tags: z.record(z.string(), z.string()).optional() }),
  output: z.object({ n: z.number(), name: z.string(), secret: z.string() }),
  async handle({ name }) {
    await next?.();
    done.push(name);
    return new Answer(201, { n: done.length, name, secret: `secret-of-${name}` }, { 'x-made': 'yes' });
  },
}) as Operation;

const other = operation({ ...make, name: 'make_other', path: '/v1/others' }) as Operation;

let api: TestApi;
/** Two servers on one database, as two processes would be. */
const servers: { app: FastifyInstance; url: string }[] = [];

beforeAll(async () => {
  api = await startTestApi();
  const { runtime } = api;
  for (let n = 0; n < 2; n += 1) {
    const app = await buildServer(runtime);
    mountOperations(app, {
      operations: [make, other],
      authenticator: authenticator(runtime.database, { baseUrl: 'http://localhost' }),
      call: { runtime, door: openDoor(runtime), baseUrl: 'http://localhost' },
    });
    servers.push({ app, url: await app.listen({ host: '127.0.0.1', port: 0 }) });
  }
});
afterAll(async () => {
  for (const { app } of servers) await app.close();
  await api.close();
});

interface Ask {
  id?: string;
  body?: unknown;
  apiKey?: string;
  path?: string;
  server?: number;
}

async function ask({
  id,
  body = { name: 'a' },
  apiKey = api.keys.agent,
  path = '/v1/things',
  server = 0,
}: Ask) {
  const response = await fetch(`${servers[server]!.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      ...(id !== undefined && { 'idempotency-key': id }),
    },
    body: JSON.stringify(body),
  });
  const { status, headers } = response;
  return {
    status,
    headers,
    // biome-ignore lint/suspicious/noExplicitAny: replies are looked into as JSON
    json: (await response.json()) as any,
    replayed: headers.get('idempotency-replayed'),
  };
}

const rows = async () =>
  (await api.runtime.database.pool.query('select * from idempotent_requests order by key')).rows;

test('a repeat is answered as the first was, in another process too, and nothing is done again', async () => {
  const before = done.length;
  const body = { name: 'one', tags: { a: '1', b: '2' } };
  const first = await ask({ id: 'repeat', body });
  expect(first).toMatchObject({ status: 201, replayed: null, json: { name: 'one' } });
  const again = { name: 'one', tags: { b: '2', a: '1' } };
  const second = await ask({ id: 'repeat', body: again, server: 1 });
  expect(second).toMatchObject({ status: 201, replayed: 'true' });
  expect(second.json).toEqual(first.json);
  expect(second.headers.get('x-made')).toBe('yes');
  expect(done.length).toBe(before + 1);
});

test('the key belongs to one operation: another may use the same', async () => {
  expect(await ask({ id: 'both', body: { name: 'x' } })).toMatchObject({ status: 201, replayed: null });
  expect(await ask({ id: 'both', body: { name: 'y' }, path: '/v1/others' })).toMatchObject({
    status: 201,
    replayed: null,
  });
});

test('the same key with another body is refused', async () => {
  await ask({ id: 'mismatch', body: { name: 'x' } });
  expect(await ask({ id: 'mismatch', body: { name: 'y' } })).toMatchObject({
    status: 409,
    json: { code: 'idempotency_mismatch' },
  });
});

test('nobody else is told what the first was told, and the store cannot tell it either', async () => {
  await ask({ id: 'private', body: { name: 'private' } });
  const principal = { kind: 'agent', name: 'agent' } as const;
  for (const apiKey of [
    (await api.key({ scopes: ['send'] })).apiKey,
    (await api.key({ scopes: ['send'], principal })).apiKey,
    api.keys.admin,
  ]) {
    const reply = await ask({ id: 'private', body: { name: 'private' }, apiKey });
    expect(reply).toMatchObject({ status: 409, json: { code: 'idempotency_mismatch' } });
    expect(JSON.stringify(reply.json)).not.toMatch(/secret-of/);
  }
  const stored = (await rows()).find(({ key }) => key === 'private');
  expect(stored.answer.toString('latin1')).not.toMatch(/secret-of|private/);
});

test('while the first still runs a repeat is told to come back, and of many at once one is done', async () => {
  const before = done.length;
  const gate = Promise.withResolvers<void>();
  next = () => gate.promise;
  const first = ask({ id: 'slow', body: { name: 'slow' } });
  await expect.poll(async () => (await rows()).some(({ key }) => key === 'slow')).toBe(true);
  const meanwhile = await ask({ id: 'slow', body: { name: 'slow' }, server: 1 });
  expect(meanwhile).toMatchObject({ status: 409, json: { code: 'idempotency_in_flight' } });
  expect(meanwhile.headers.get('retry-after')).toBe('1');
  next = undefined;
  gate.resolve();
  expect((await first).status).toBe(201);
  expect(await ask({ id: 'slow', body: { name: 'slow' } })).toMatchObject({ status: 201, replayed: 'true' });

  const many = await Promise.all(
    Array.from({ length: 12 }, (_, n) => ask({ id: 'many', body: { name: 'many' }, server: n % 2 })),
  );
  expect(new Set(many.map(({ status }) => status))).toEqual(
    new Set(many.some(({ status }) => status === 409) ? [201, 409] : [201]),
  );
  expect(done.slice(before)).toEqual(['slow', 'many']);
});

test('a first call whose process died stands in the way for half a minute, not for ever', async () => {
  const { pool } = api.runtime.database;
  await ask({ id: 'died', body: { name: 'died' } });
  await pool.query("update idempotent_requests set status = null, answer = null where key = 'died'");
  expect((await ask({ id: 'died', body: { name: 'died' } })).json.code).toBe('idempotency_in_flight');
  await pool.query(
    "update idempotent_requests set running_until = now() - interval '1 second' where key = 'died'",
  );
  expect((await ask({ id: 'died', body: { name: 'changed' } })).json.code).toBe('idempotency_mismatch');
  expect(await ask({ id: 'died', body: { name: 'died' } })).toMatchObject({ status: 201, replayed: null });
});

test('after 24 hours the key is free for anything', async () => {
  await ask({ id: 'day', body: { name: 'x' } });
  await api.runtime.database.pool.query(
    "update idempotent_requests set created_at = now() - interval '24 hours 1 second' where key = 'day'",
  );
  expect(await ask({ id: 'day', body: { name: 'y' } })).toMatchObject({ status: 201, replayed: null });
});

test.each([
  [400, 'invalid_field'],
  [422, 'invalid_address'],
  [429, 'rate_limited'],
  [503, 'unavailable'],
])('a call that ended with %i does not use up the key', async (status, code) => {
  const id = `unused-${status}`;
  next = async () => {
    throw new Problem(status, code, 'Not now.');
  };
  expect((await ask({ id, body: { name: 'x' } })).status).toBe(status);
  next = undefined;
  expect(await ask({ id, body: { name: 'other' } })).toMatchObject({ status: 201, replayed: null });
});

test('a malformed request and a crash do not use it up either', async () => {
  expect((await ask({ id: 'form', body: { name: 1 } })).status).toBe(400);
  next = async () => {
    throw new Error('unforeseen');
  };
  expect((await ask({ id: 'form', body: { name: 'x' } })).status).toBe(500);
  next = undefined;
  expect(await ask({ id: 'form', body: { name: 'y' } })).toMatchObject({ status: 201, replayed: null });
});

test('an error that the operation itself came to is repeated like any answer', async () => {
  next = async () => {
    throw new Problem(409, 'already_exists', 'There is one.', { existing_id: 'x' });
  };
  const first = await ask({ id: 'conflict', body: { name: 'x' } });
  next = undefined;
  const second = await ask({ id: 'conflict', body: { name: 'x' } });
  expect(second).toMatchObject({ status: 409, replayed: 'true' });
  expect(second.json).toEqual(first.json);
});

test('a key without scope, a revoked one, and one of another mailbox hear their own refusal, never the answer', async () => {
  await ask({ id: 'scope', body: { name: 'x' } });
  const { apiKey } = await api.key({ scopes: ['read'] });
  expect((await ask({ id: 'scope', body: { name: 'x' }, apiKey })).json.code).toBe('scope_missing');
});

test('the header has to be 1 to 200 printable characters', async () => {
  for (const id of ['', 'x'.repeat(201), 'a\tb']) {
    const reply = await ask({ id });
    expect(`${JSON.stringify(id.slice(0, 5))} ${reply.status} ${reply.json.code}`).toBe(
      `${JSON.stringify(id.slice(0, 5))} 400 invalid_field`,
    );
  }
});

test('a call of the real interface is repeated too, with the secret it told once', async () => {
  const mailbox = await api.mailbox('login@ours.example', 'gated_send');
  const headers = { 'idempotency-key': 'make a login' };
  const body = { mailbox: mailbox.id, username: 'once' };
  const first = await api.confirm('POST', '/v1/logins', { key: api.keys.admin, headers, body });
  expect(first).toMatchObject({ status: 201, json: { password: expect.any(String) } });
  const again = await api.call('POST', '/v1/logins', { key: api.keys.admin, headers, body });
  expect(again.status).toBe(201);
  expect(again.json).toEqual(first.json);
  const dump = JSON.stringify(
    (await rows()).map((row) => ({ ...row, answer: row.answer?.toString('latin1') })),
  );
  expect(dump).not.toContain(first.json.password);
});

test('a call that a person has to confirm counts from when it was carried out, and a wrong code does not use it up', async () => {
  const headers = { 'idempotency-key': 'make a key' };
  const call = (more: object = {}) =>
    api.call('POST', '/v1/api-keys', {
      key: api.keys.admin,
      headers,
      body: { name: 'made once', scopes: ['read'], ...more },
    });
  expect(await call()).toMatchObject({ status: 202, json: { status: 'pending_approval' } });
  expect(await call({ approval_code: 'AAA-AAA' })).toMatchObject({
    status: 403,
    json: { code: 'invalid_code' },
  });
  const made = await call({ approval_code: await api.code() });
  expect(made).toMatchObject({ status: 201, json: { api_key: expect.stringMatching(/^mm_test_/) } });
  const again = await call();
  expect(again.status).toBe(201);
  expect(again.json).toEqual(made.json);
  expect(again.headers.get('idempotency-replayed')).toBe('true');
  const { json } = await api.call('GET', '/v1/api-keys', { key: api.keys.admin });
  expect(json.api_keys.filter(({ name }: { name: string }) => name === 'made once')).toHaveLength(1);
});
