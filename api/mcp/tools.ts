/**
 * The tools there are, from the registry: what each says of itself, who sees it, and what a call by its name means.
 * Nothing here depends on a caller but the list, which is made once for each set of scopes.
 */
import type { Scope } from '../../core/store/keys.ts';
import type { Operation, Tool } from '../operation.ts';
import { invalid } from '../problem.ts';
import { HOSTED } from './hosted.ts';
import { NOT_OFFERED, OLDER } from './older.ts';
import { CODES, Fault } from './protocol.ts';
import { inputSchema, namesOf, requiredOf } from './schema.ts';

/** An operation that is a tool. */
export type ToolOperation = Operation & { tool: Tool };

export interface ToolBox {
  /** What `tools/list` shows to a key with these scopes. */
  listed(scopes: readonly Scope[]): readonly object[];
  /** What a key has without being known: how to connect, and how one gets an account elsewhere. */
  readonly open: readonly object[];
  /** Those of these names. */
  named(names: ReadonlySet<unknown>): readonly object[];
  /** The operation that a call means, and its input. Throws Fault for a name that nothing has. */
  meant(name: string, given: Record<string, unknown>): { one: ToolOperation; given: Record<string, unknown> };
}

export interface ToolBoxOptions {
  operations: readonly Operation[];
  /** Every tool is shown to every key; what it may call does not change. */
  listAll?: boolean;
  /** Older names may be called. */
  older?: boolean;
}

export function toolBox({ operations, listAll = false, older = false }: ToolBoxOptions): ToolBox {
  const tools = [...operations.filter(isTool), ...HOSTED];
  const byName = new Map(tools.map((one) => [one.name, one]));
  const entries = new Map(tools.map((one) => [one.name, entryOf(one)]));
  const lists = new Map<string, readonly object[]>();
  const pick = (wanted: (one: ToolOperation) => boolean) =>
    tools.filter(wanted).map(({ name }) => entries.get(name)!);
  return {
    named: (names) => pick(({ name }) => names.has(name)),
    open: pick(({ name }) => OPEN.includes(name)),
    listed(scopes) {
      const key = [...scopes].sort().join(' ');
      const list = lists.get(key) ?? pick((one) => listAll || reaches(scopes, one));
      lists.set(key, list);
      return list;
    },
    meant(name, given) {
      const translated = older ? OLDER.get(name)?.(given) : undefined;
      if (translated !== undefined) return { one: byName.get(translated.name)!, given: translated.given };
      const one = byName.get(name);
      if (one === undefined) throw unknown(name);
      return { one, given };
    },
  };
}

/** Tools that need no key. */
const OPEN = [
  'setup_multimail',
  'request_challenge',
  'create_account',
  'resend_confirmation',
  'activate_account',
];

function isTool(one: Operation): one is ToolOperation {
  return one.tool !== undefined;
}

function reaches(scopes: readonly Scope[], { access }: Operation): boolean {
  if (access === 'any' || access === 'none' || scopes.includes('admin')) return true;
  return [access].flat().some((scope) => scopes.includes(scope as Scope));
}

function entryOf(one: ToolOperation): object {
  const { description, hints } = one.tool;
  const title = titleOf(one.name);
  return {
    name: one.name,
    title,
    description,
    inputSchema: inputSchema(one, one.tool),
    annotations: {
      title,
      readOnlyHint: hints.includes('readOnly'),
      destructiveHint: hints.includes('destructive'),
      idempotentHint: hints.includes('idempotent'),
      openWorldHint: false,
    },
  };
}

function titleOf(name: string): string {
  const words = name
    .replaceAll('_', ' ')
    .replace(/\bapi\b/, 'API')
    .replace('multimail', 'MultiMail');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function unknown(name: string): Fault {
  const shown = name.replace(/[^\w.-]/g, '').slice(0, 64);
  const instead = NOT_OFFERED.get(name);
  return new Fault(
    CODES.invalidParams,
    instead === undefined ? `Unknown tool: ${shown}` : `Unknown tool: ${shown}. Use ${instead}.`,
  );
}

/** Taken by older clients' habit, and not offered. */
const TOLERATED: Readonly<Record<string, readonly string[]>> = {
  configure_mailbox: ['ai_disclosure'],
  update_mailbox: ['ai_disclosure'],
  create_mailbox: ['ai_disclosure'],
};

/** Throws the Problem of an input with a member that the tool does not take, or without one that it needs. */
export function checkNames(one: ToolOperation, given: Record<string, unknown>): void {
  const taken = [...namesOf(one, one.tool), ...(TOLERATED[one.name] ?? [])];
  const strange = Object.keys(given).filter((name) => !taken.includes(name));
  if (strange.length > 0)
    throw invalid(
      422,
      'unknown_field',
      strange.slice(0, 10).map((name) => ({ field: name.slice(0, 64), message: 'is no input of this tool' })),
    );
  const missing = requiredOf(one, one.tool).filter((name) => given[name] === undefined);
  if (missing.length > 0)
    throw invalid(
      400,
      'missing_field',
      missing.map((field) => ({ field, message: 'is missing' })),
    );
}
