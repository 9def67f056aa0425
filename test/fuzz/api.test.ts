/** Every operation with input made from its own definition, and with what does not fit it: never an internal error. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { routesOf } from '../../api/http/routes.ts';
import type { Operation } from '../../api/operation.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { type Reply, startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let known: string[];
let byName: Record<string, string[]>;
beforeAll(async () => {
  api = await startTestApi();
  const { id, address } = await api.mailbox('fuzz@ours.example', 'gated_send');
  const later = { send_at: new Date(Date.now() + 3_600_000).toISOString(), gate_timing: 'schedule_first' };
  const mail = [await api.send(id), await api.send(id), await api.send(id, later)];
  const key = await api.key({});
  const made = async (path: string, body: object) =>
    (await api.confirm('POST', path, { key: api.keys.admin, body })).json.id as string;
  byName = {
    mailbox_id: [id, address],
    mailbox: [id, address],
    email_id: mail,
    message_id: mail,
    thread_id: mail,
    key_id: [key.id],
    contact_id: [await made('/v1/contacts', { email: 'a@remote.example' })],
    webhook_id: [await made('/v1/webhooks', { url: 'https://hooks.example/x', events: ['*'] })],
    domain_id: [await made('/v1/domains', { domain: 'fuzz.example' })],
    entry_id: [await made(`/v1/mailboxes/${id}/allowlist`, { pattern: '*@friends.example' })],
  };
  known = Object.values(byName).flat();
});
afterAll(() => api.close());

const NASTY = [
  '', ' ', '\0', 'a\0b', '\ud800', '\u202e', '\u2028', '%', '%00', '_', '\\', "'", '"', '$1', '../..', '-1', '0', '1e400', 'NaN', 'null',
  '99999999999999999999', '0000-01-01', '9999-12-31T23:59:59Z', '2026-02-30', '+275760-09-13', '__proto__', 'constructor', 'toString', '*@x',
  'a@b.example', 'a@b.example,c@d.example', '@', 'a@', '=?utf-8?B?eA==?=', '01JZZZZZZZZZZZZZZZZZZZZZZZ', 'x'.repeat(5000), '🐎', 'a=b', '=', 'message.*',
]; // biome-ignore format: a list of words
const nasty = fc.oneof(fc.constantFrom(...NASTY), fc.string({ unit: 'binary', maxLength: 40 }));
const wrong = fc.oneof(
  fc.constantFrom(null, true, false, 0, -1, 1.5, 1e308, [], {}, [[]], [null], { a: { b: [] } }),
  fc.array(nasty, { maxLength: 5 }),
  fc.dictionary(nasty, nasty, { maxKeys: 3, noNullPrototype: true }),
);

/** Members that name what exists. */
const NAMES = {
  mailbox_id: 1,
  mailbox: 1,
  email_id: 1,
  message_id: 1,
  thread_id: 1,
  key_id: 1,
  contact_id: 1,
  webhook_id: 1,
  domain_id: 1,
  entry_id: 1,
};

type Member = fc.Arbitrary<unknown>;

/** Values the schema of a member may take, others of its kind, and others of no kind. */
function memberOf(schema: z.core.JSONSchema._JSONSchema): Member {
  const options = typeof schema === 'boolean' ? [] : (schema.anyOf ?? schema.oneOf ?? [schema]);
  const fitting = options.flatMap((option): Member[] => {
    if (typeof option === 'boolean') return [];
    if (option.enum !== undefined) return [fc.constantFrom(...option.enum)];
    if (option.type === 'array')
      return [fc.array(memberOf(option.items as z.core.JSONSchema._JSONSchema), { maxLength: 3 })];
    if (option.type === 'number' || option.type === 'integer') return [fc.integer(), fc.double()];
    if (option.type === 'boolean') return [fc.boolean()];
    return [nasty, fc.nat().map((n) => known[n % known.length])];
  });
  return fc.oneof({ weight: 6, arbitrary: fc.oneof(nasty, ...fitting) }, { weight: 1, arbitrary: wrong });
}

function inputOf(one: Operation): fc.Arbitrary<Record<string, unknown>> {
  const { properties = {}, required = [] } = z.toJSONSchema(one.input, {
    io: 'input',
    unrepresentable: 'any',
  });
  const members = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => {
      // mostly what exists, or every request would end at its first look-up
      const existing = fc
        .nat()
        .map((n) => byName[name]?.[n % byName[name].length] ?? known[n % known.length]);
      const any = memberOf(schema);
      return [name, name in NAMES ? fc.oneof({ weight: 5, arbitrary: existing }, any) : any];
    }),
  );
  return fc.oneof(fc.record(members, { requiredKeys: required }), fc.record(members, { requiredKeys: [] }));
}

function requestOf({ method, path }: Operation, input: Record<string, unknown>) {
  const { left, url } = urlOf(path, input);
  if (method !== 'GET') return { url, body: left };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(left))
    for (const one of [value].flat())
      query.append(name, typeof one === 'object' ? JSON.stringify(one) : String(one));
  return { url: `${url}?${query}`, body: undefined };
}

function urlOf(path: string, input: Record<string, unknown>) {
  const left = { ...input };
  const url = path.replace(/:(\w+)/g, (_, name: string) => {
    const given = left[name] ?? known[0];
    const value = (typeof given === 'string' ? given : JSON.stringify(given)).toWellFormed();
    delete left[name];
    return encodeURIComponent(value) || 'x';
  });
  return { left, url };
}

test.each(OPERATIONS.map((one) => [one.name, one] as const))(
  '%s answers whatever it is given',
  async (_, one) => {
    await fc.assert(
      fc.asyncProperty(inputOf(one), async (input) => {
        const { url, body } = requestOf(one, input);
        isAnswer(await answerOf(one, url, body));
      }),
      { numRuns: 60 },
    );
  },
);

function isAnswer(reply: Reply | undefined): void {
  if (reply === undefined) return;
  expect(`${reply.status} ${reply.text}`).not.toMatch(/^5/);
  // a page tells a person, in words
  const isPage = reply.headers.get('content-type')?.startsWith('text/html');
  if (reply.status >= 400 && !isPage) expect(reply.json).toMatchObject({ status: reply.status });
}

/** Other names of members, and members that only dialects know; given to all, for what does not fit is an answer too. */
const aliases = fc.record(
  Object.fromEntries(
    [
      'mailbox',
      'from',
      'body',
      'text_body',
      'id',
      'message_id',
      'decision',
      'agent_id',
      'address',
      'query',
      'period',
      'cursor',
      'offset',
    ].map((name) => [
      name,
      fc.oneof(
        nasty,
        fc.nat().map((n) => known[n % known.length]),
        wrong,
      ),
    ]),
  ),
  { requiredKeys: [] },
);

const DIALECT_ROUTES = routesOf(OPERATIONS).filter(({ dialect }) => dialect !== undefined);
test.each(DIALECT_ROUTES.map((route) => [`${route.method} ${route.path}`, route] as const))(
  '%s answers whatever it is given',
  async (_, { one, method, path }) => {
    const asked = { ...one, method, path };
    await fc.assert(
      fc.asyncProperty(inputOf(one), aliases, async (input, more) => {
        const { url, body } = requestOf(asked, { ...input, ...more });
        isAnswer(await answerOf(asked, url, body));
      }),
      { numRuns: 20 },
    );
  },
);

/** Undefined for a call that waits for mail: nobody hangs up on it, so we do. */
async function answerOf(one: Operation, url: string, body: unknown): Promise<Reply | undefined> {
  const reply = api.call(one.method, url, { key: api.keys.admin, body });
  if (one.name !== 'wait_for_email') return reply;
  const early = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50));
  return Promise.race([reply.catch(() => undefined), early]);
}
