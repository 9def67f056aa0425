/**
 * Every operation of the registry, by REST and by MCP, against the running system: it does what it is for, it is
 * refused without its scope, it knows nothing of another mailbox's resources, and it answers malformed input by
 * naming what is wrong. The cases are in contract-cases.ts; one that is missing fails here.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../api/operation.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { SCOPES, type Scope } from '../../core/store/keys.ts';
import { byMcp, byRest, type Input, type Said, withCode } from '../support/contract.ts';
import { CASES, type Case } from '../support/contract-cases.ts';
import { openWorld, type World } from '../support/contract-world.ts';
import { mcpClient } from '../support/mcp.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const TOOLS = OPERATIONS.filter(({ tool }) => tool !== undefined);

test('every operation has a case, and every case an operation', () => {
  expect(Object.keys(CASES).sort()).toEqual(OPERATIONS.map(({ name }) => name).sort());
});

const interfaces = {
  async REST(place: World, one: Operation, input: Input, key: string): Promise<Said> {
    return byRest(place.api, one, input, key);
  },
  async MCP(place: World, one: Operation, input: Input, key: string): Promise<Said> {
    const client = await mcpClient(place.api.url, key);
    try {
      return await byMcp(client, one, input);
    } finally {
      await client.close();
    }
  },
};

describe.each(Object.entries(interfaces))('by %s', (by, ask) => {
  const operations = by === 'MCP' ? TOOLS : OPERATIONS;

  test.each(named(operations))('%s does what it is for', async (name, one) => {
    const { as, check, alone, status = '20[012]' } = CASES[name]!;
    const place = alone ? await openWorld() : world;
    try {
      const key = await keyOf(place, as, one);
      const given = await CASES[name]!.input(place, key);
      const said = await withCode(place.api, (whole) => ask(place, one, whole, key), given);
      expect(`${said.status} ${said.text}`).toMatch(new RegExp(`^${status} `));
      check?.(said.json ?? said.text, given);
    } finally {
      if (alone) await place.close();
    }
  });

  const scoped = operations.filter(({ access }) => access !== 'none' && access !== 'any');
  test.each(named(scoped))('%s needs its scope', async (name, one) => {
    const given = await CASES[name]!.input(world, await keyOf(world, CASES[name]!.as, one));
    for (const scope of SCOPES) {
      if (scope === 'admin' || ([one.access].flat() as string[]).includes(scope)) continue;
      const said = await ask(world, one, given, await world.keyWith(scope));
      expect(`${scope}: ${said.status} ${said.code}`).toBe(`${scope}: 403 scope_missing`);
      expect(said.text).toContain([one.access].flat()[0]);
    }
  });

  const naming = operations.filter(({ name }) => (CASES[name]?.names ?? []).length > 0);
  test.each(named(naming))(
    "%s knows nothing of what is not the caller's, or is nothing at all",
    async (name, one) => {
      const { input, names, as } = CASES[name]!;
      const key = await (one.confined === true ? boundKey(as, one) : keyOf(world, as, one));
      const given = await input(world, key);
      for (const member of names!) {
        for (const id of [
          '01JZZZZZZZZZZZZZZZZZZZZZZZ',
          'no-such-id',
          one.confined && (await world.foreign(member)),
        ]) {
          if (!id) continue;
          const said = await withCode(world.api, (whole) => ask(world, one, whole, key), {
            ...given,
            [member]: id,
          });
          // a page says it in words
          const code = by === 'REST' && said.json === undefined ? 'not_found' : said.code;
          expect(`${said.status} ${code}`, `${member} ${id}`).toBe('404 not_found');
          expect(said.text).not.toMatch(world.secrets);
        }
      }
    },
  );

  const breakable = operations.filter((one) => Object.keys(broken(by, one)).length > 0);
  test.each(named(breakable))('%s names what is malformed', async (name, one) => {
    const key = await keyOf(world, CASES[name]!.as, one);
    const given = { ...(await CASES[name]!.input(world, key)), ...broken(by, one) };
    const said = await ask(world, one, given, key);
    expect(`${said.status} ${said.text}`).toMatch(/^4\d\d /);
    expect(`${said.status}`).not.toMatch(/401|403|404/);
    const [member] = Object.keys(broken(by, one));
    expect(said.text).toContain(CANONICAL[member!] ?? member);
  });
});

/** What a tool calls otherwise is named as the operation has it. */
const CANONICAL: Record<string, string> = { address_local_part: 'address_local', query: 'q' };

function named(operations: readonly Operation[]): [string, Operation][] {
  return operations.map((one) => [one.name, one]);
}

/** What no schema accepts, in a member that the interface takes beside the path; empty where there is none. */
function broken(by: string, one: Operation): Input {
  const taken = by === 'MCP' ? (one.tool?.takes ?? []) : bodyOf(one);
  const malformed = CASES[one.name]?.malformed ?? { [taken[0] ?? '']: { not: ['of', 'this', 'kind'] } };
  return Object.fromEntries(Object.entries(malformed).filter(([member]) => taken.includes(member)));
}

function bodyOf({ path, method, input, name }: Operation): string[] {
  if (method === 'GET' && CASES[name]?.malformed === undefined) return [];
  return Object.keys(input.shape).filter(
    (member) => !path.includes(`:${member}`) && member !== 'approval_code',
  );
}

async function keyOf({ keyWith }: World, as: Case['as'], one: Operation): Promise<string> {
  return keyWith(as ?? scopeOf(one));
}

async function boundKey(as: Case['as'], one: Operation): Promise<string> {
  return world.boundKeyWith(as ?? scopeOf(one));
}

/** The least a caller needs. */
function scopeOf({ access }: Operation): Scope {
  const first = [access].flat()[0] as Scope | 'any' | 'none';
  return first === 'any' || first === 'none' ? 'read' : first;
}
