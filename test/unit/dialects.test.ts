import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { fingerprintOf } from '../../api/access/fingerprint.ts';
import { canonical, memberOf } from '../../api/dialects/fields.ts';
import { hostedPaths } from '../../api/dialects/hosted.ts';
import { ANY_MAILBOX, mailboxNames } from '../../api/dialects/mailbox.ts';
import { DIALECTS, toolPaths } from '../../api/dialects/paths.ts';
import { routeKey, routesOf } from '../../api/http/routes.ts';
import { textFault } from '../../api/input/texts.ts';
import { type Operation, operation } from '../../api/operation.ts';
import { Problem } from '../../api/problem.ts';
import { OPERATIONS } from '../../api/registry.ts';

function one(shape: z.ZodRawShape, more: Partial<Operation> = {}): Operation {
  return operation({
    name: 'an_operation',
    summary: 'It is done',
    area: 'emails',
    access: 'send',
    method: 'POST',
    path: '/v1/x',
    input: z.object(shape),
    output: z.object({}),
    handle: async () => ({}),
    ...more,
  }) as Operation;
}

const text = z.string().optional();

test('an operation without its access does not compile', () => {
  // @ts-expect-error: access is missing
  const open: Operation = {
    name: 'open',
    summary: 'It is open',
    area: 'emails',
    method: 'GET',
    path: '/v1/open',
    input: z.object({}),
    output: z.object({}),
    handle: async () => ({}),
  };
  expect(open.access).toBeUndefined();
});

describe('members under other names', () => {
  test.each([
    [{ markdown: text }, { body: 'b' }, { markdown: 'b' }],
    [{ markdown: text }, { text: 'b' }, { markdown: 'b' }],
    [{ markdown: text }, { text_body: 'b', body: 'b' }, { markdown: 'b' }],
    [{ send_at: text }, { scheduled_at: 't' }, { send_at: 't' }],
    [{ email_id: text }, { message_id: 'x' }, { email_id: 'x' }],
    [{ email_id: text }, { id: 'x' }, { email_id: 'x' }],
    [{ message_id: text }, { email_id: 'x' }, { message_id: 'x' }],
    [{ agent: text }, { agent_id: 'x' }, { agent: 'x' }],
    [{ address_local: text }, { address: 'x' }, { address_local: 'x' }],
    [{ address_local: text }, { address_local_part: 'x' }, { address_local: 'x' }],
    [{ q: text }, { query: 'x' }, { q: 'x' }],
    [{ mailbox: text }, { mailbox_id: 'x' }, { mailbox: 'x' }],
    [
      { since: text, until: text },
      { date_after: 'a', date_before: 'b' },
      { since: 'a', until: 'b' },
    ],
    // What an input calls so itself is no alias, and what it does not know stays to be told.
    [{ markdown: text, body: text }, { body: 'b' }, { body: 'b' }],
    [{ subject: text }, { body: 'b', decision: 'approve' }, { body: 'b', decision: 'approve' }],
    [{ action: text }, { decision: 'approve' }, { decision: 'approve' }],
  ])('%#: %o takes %o', (shape, given, told) => {
    expect({ ...canonical(one(shape), given) }).toEqual(told);
  });

  test('`decision` is the action of deciding alone', () => {
    const decide = one({ action: text }, { name: 'decide_email' });
    expect({ ...canonical(decide, { decision: 'approve' }) }).toEqual({ action: 'approve' });
    expect(memberOf(decide, 'decision')).toBe('action');
  });

  test.each([
    [{ markdown: text }, { markdown: 'a', body: 'b' }, 'markdown'],
    [{ markdown: text }, { text: 'a', body: 'b' }, 'markdown'],
    [{ email_id: text }, { id: 'a', message_id: 'b' }, 'email_id'],
    [{ breakdown: text }, { breakdown: 'daily', period: 'summary' }, 'breakdown'],
  ])('two of one member that differ are refused: %#', (shape, given, field) => {
    const refused = () => canonical(one(shape), given);
    expect(refused).toThrow(Problem);
    expect(refused).toThrow(expect.objectContaining({ code: 'conflicting_fields', extra: { field } }));
  });

  test('`period` is `breakdown`, where an operation has only that', () => {
    const usage = one({ breakdown: text }, { method: 'GET' });
    expect({ ...canonical(usage, { period: 'daily' }) }).toEqual({ breakdown: 'daily' });
    expect({ ...canonical(usage, { period: 'summary' }) }).toEqual({});
    expect({ ...canonical(usage, { period: 'weekly' }) }).toEqual({ period: 'weekly' });
  });

  test('in a filter `pending_approval` is the status of outbound mail', () => {
    const list = one({ status: text }, { method: 'GET' });
    const of = (status: unknown) => canonical(list, { status }).status;
    expect(of('pending_approval')).toBe('pending_send_approval');
    expect(of('sent, pending_approval')).toBe('sent, pending_send_approval');
    expect(of(['pending_approval', 'read'])).toEqual(['pending_send_approval', 'read']);
    expect(of('not_pending_approval')).toBe('not_pending_approval');
    expect(Object.keys(canonical(list, {}))).toEqual([]);
  });
});

describe('the names of the mailbox', () => {
  const mailboxId = z.string().min(1).max(320);

  test.each([
    [{ mailbox_id: 'a' }, 'a', false],
    [{ mailbox: 'a@x.example' }, 'a@x.example', false],
    [{ from: 'a@x.example' }, 'a@x.example', false],
    [{}, ANY_MAILBOX, true],
  ])('%o', (given, mailbox_id, open) => {
    expect(mailboxNames(one({ mailbox_id: mailboxId }), given)).toMatchObject({
      given: { mailbox_id },
      open,
    });
  });

  test('`from` stays where it is a member of its own, and where no mailbox is needed', () => {
    const send = one({ mailbox_id: mailboxId, from: text });
    expect(mailboxNames(send, { from: 'a' })).toMatchObject({
      given: { from: 'a', mailbox_id: ANY_MAILBOX },
      open: true,
    });
    const list = one({ mailbox: text, from: text });
    expect(mailboxNames(list, { from: 'a', mailbox: 'b' })).toMatchObject({
      given: { from: 'a', mailbox: 'b' },
    });
  });

  test('two names are both looked at, and what is no name is refused', () => {
    const send = one({ mailbox_id: mailboxId });
    expect(mailboxNames(send, { mailbox_id: 'a', mailbox: 'b' }).names).toEqual(['a', 'b']);
    expect(mailboxNames(send, { mailbox_id: 'a', mailbox: 'a' }).names).toEqual(['a']);
    for (const mailbox of [5, '', null, ['a'], ['\0'], 'x'.repeat(321)])
      expect(() => mailboxNames(send, { mailbox })).toThrow(
        expect.objectContaining({ code: 'invalid_field' }),
      );
    expect(() => mailboxNames(send, { mailbox_id: 'a', mailbox: 'b\0' })).toThrow(
      expect.objectContaining({ code: 'invalid_text' }),
    );
  });
});

describe('the table of paths', () => {
  const names = new Set(OPERATIONS.map(({ name }) => name));

  test('names only operations that there are', () => {
    expect(DIALECTS.map(({ operation: name }) => name).filter((name) => !names.has(name))).toEqual([]);
  });

  test('has no line that another path hides', () => {
    const routes = routesOf(OPERATIONS);
    const taken = new Map(routes.map((route) => [routeKey(route.method, route.path), route]));
    for (const dialect of DIALECTS.filter(({ operation: name }) => names.has(name)))
      expect(taken.get(routeKey(dialect.method, dialect.path))?.dialect, dialect.path).toBe(dialect);
    const hosted = hostedPaths().flatMap(({ methods, path }) =>
      methods.map((method) => routeKey(method, path)),
    );
    expect(new Set(hosted).size).toBe(hosted.length);
    expect(hosted.filter((key) => taken.has(key))).toEqual([]);
  });

  test('has every tool by its name: for reading by GET too', () => {
    const paths = toolPaths(OPERATIONS);
    for (const { name, tool } of OPERATIONS.filter((each) => each.tool !== undefined)) {
      const methods = paths.filter(({ operation: of }) => of === name).map(({ method }) => method);
      const reads = tool!.hints.includes('readOnly') || name === 'read_email';
      expect(methods, name).toEqual(reads ? ['GET', 'POST'] : ['POST']);
    }
  });
});

test.each([
  ['plain', undefined],
  ['a\0b', 'invalid_text'],
  ['half \ud83d', 'invalid_text'],
  [{ a: [{ b: 'x\0' }] }, 'invalid_text'],
  [{ 'a\0': 1 }, 'invalid_text'],
  [{ a: { constructor: 1 } }, 'invalid_field'],
  [JSON.parse('{"__proto__": 1}'), 'invalid_field'],
  [Buffer.from([0, 0xff]), undefined],
  [{ whole: '\ud83d\ude00' }, undefined],
])('the text rule: %#', (value, code) => {
  expect(textFault(value)?.code).toBe(code);
});

test('a fault names where it stands', () => {
  expect(textFault({ a: [{ b: 'x\0' }] })?.field).toBe('a.0.b');
});

test('a request is the same whatever the order of its members, and without what says how it is made', () => {
  const asked = { to: ['a'], tags: { a: '1', b: '2' }, at: new Date(0), file: Buffer.from('x') };
  const same = {
    file: Buffer.from('x'),
    at: new Date(0),
    tags: { b: '2', a: '1' },
    to: ['a'],
    cc: undefined,
  };
  expect(fingerprintOf({ ...same, idempotency_key: 'k', approval_code: 'c' })).toEqual(fingerprintOf(asked));
  for (const change of [
    { to: ['b'] },
    { tags: { a: '1' } },
    { at: new Date(1) },
    { file: Buffer.from('y') },
    { more: 1 },
  ])
    expect(fingerprintOf({ ...asked, ...change })).not.toEqual(fingerprintOf(asked));
});
