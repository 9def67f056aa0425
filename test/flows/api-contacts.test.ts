import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api?.close());

const add = (body: object, key = api.keys.agent) => api.call('POST', '/v1/contacts', { key, body });
const search = async (query: string) =>
  (await api.call('GET', `/v1/contacts${query}`, { key: api.keys.agent })).json;

test('a contact has the address for a name when none is given, and its time in epoch milliseconds', async () => {
  const before = Date.now();
  const made = await add({ email: 'noname@Example.COM' });
  expect(made.status).toBe(201);
  expect(made.json).toEqual({
    id: expect.stringMatching(/^[0-9A-Z]{26}$/),
    name: 'noname@example.com',
    email: 'noname@example.com',
    tags: [],
    created_at: expect.any(Number),
  });
  expect(made.json.created_at).toBeGreaterThanOrEqual(before - 1000);
});

test('a known address is updated and keeps its id and what is not given', async () => {
  const first = (await add({ email: 'ana@known.example', name: 'Ana', tags: ['friend'] })).json;
  const again = await add({ email: 'ANA@known.example', tags: ['friend', 'friend', 'press'] });
  expect(again.status).toBe(201);
  expect(again.json).toMatchObject({ id: first.id, name: 'Ana', tags: ['friend', 'press'] });
  expect((await search('?q=known.example')).contacts).toHaveLength(1);
});

test('contacts are found by part of their name or address, whatever its case, and % means itself', async () => {
  await add({ email: 'zoe@searched.example', name: 'Zoë Müller' });
  await add({ email: 'other@searched.example', name: '100% Sure' });
  const names = async (query: string) =>
    (await search(query)).contacts.map(({ name }: { name: string }) => name);
  expect(await names('?q=MÜLL')).toEqual(['Zoë Müller']);
  await add({ email: 'oezlem@remote.example', name: 'Özlem ÜNAL' });
  expect(await names('?q=özlem%20ü')).toEqual(['Özlem ÜNAL']);
  expect(await names('?query=SEARCHED.exa&mailbox=agent@ours.example')).toEqual(['100% Sure', 'Zoë Müller']);
  expect(await names('?q=0%25')).toEqual(['100% Sure']);
  expect(await names('?q=%25%25')).toEqual([]);
});

test('pages follow one another without repeating or skipping', async () => {
  for (let n = 0; n < 5; n++) await add({ email: `page${n}@paged.example` });
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await search(`?q=paged.example&limit=2&cursor=${cursor}`);
    seen.push(...page.contacts.map(({ email }: { email: string }) => email));
    cursor = page.cursor;
  }
  expect(seen).toEqual([4, 3, 2, 1, 0].map((n) => `page${n}@paged.example`));
  expect((await api.call('GET', '/v1/contacts?cursor=nonsense', { key: api.keys.agent })).json.code).toBe(
    'invalid_cursor',
  );
});

test('a contact is removed once, by an admin', async () => {
  const { id } = (await add({ email: 'gone@gone.example' })).json;
  const path = `/v1/contacts/${id}`;
  expect((await api.call('DELETE', path, { key: api.keys.agent })).status).toBe(403);
  expect((await api.call('DELETE', path, { key: api.keys.admin })).json).toEqual({ deleted: true });
  expect((await api.call('DELETE', path, { key: api.keys.admin })).json.code).toBe('not_found');
  expect((await api.call('DELETE', '/v1/contacts/nobody', { key: api.keys.admin })).status).toBe(404);
  expect((await search('?q=gone.example')).contacts).toEqual([]);
});

test.each([
  [{}, 'missing_field', 'email'],
  [{ email: 'Ana <ana@remote.example>' }, 'invalid_address', 'email'],
  [{ email: 'ana@remote.example\r\nBcc: v@evil.example' }, 'invalid_address', 'email'],
  [{ email: 'ana@remote.example', name: 'a\nb' }, 'invalid_field', 'name'],
  [{ email: 'ana@remote.example', tags: 'x' }, 'invalid_field', 'tags'],
])('%j is refused with 400 %s, naming %s', async (body, code, field) => {
  const refused = await add(body);
  expect([refused.status, refused.json.code, refused.json.field]).toEqual([400, code, field]);
});

test('reading alone adds nothing', async () => {
  const { apiKey } = await api.key({ scopes: ['read'] });
  expect((await add({ email: 'ana@remote.example' }, apiKey)).json.code).toBe('scope_missing');
});
