/** Every operation with input made from its own definition, and with what does not fit it: never an internal error. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import type { Operation } from '../../api/operation.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let known: string[];
beforeAll(async () => {
  api = await startTestApi();
  const mailbox = await api.mailbox('fuzz@ours.example', 'gated_send');
  known = [mailbox.id, mailbox.address, await api.send(mailbox.id), await api.send(mailbox.id)];
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
    return [nasty, fc.constantFrom(0, 1, 2, 3).map((n) => known[n])];
  });
  return fc.oneof({ weight: 6, arbitrary: fc.oneof(nasty, ...fitting) }, { weight: 1, arbitrary: wrong });
}

function inputOf(one: Operation): fc.Arbitrary<Record<string, unknown>> {
  const { properties = {}, required = [] } = z.toJSONSchema(one.input, {
    io: 'input',
    unrepresentable: 'any',
  });
  const members = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, memberOf(schema)]),
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
        const reply = await api.call(one.method, url, { key: api.keys.admin, body });
        expect(`${reply.status} ${reply.text}`).not.toMatch(/^5/);
        if (reply.status >= 400) expect(reply.json).toMatchObject({ status: reply.status });
      }),
      { numRuns: 60 },
    );
  },
);
