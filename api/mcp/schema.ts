/** A tool's input as JSON Schema, made from what the operation's own definition says of the members it takes. */
import { z } from 'zod';
import { memberOf } from '../dialects/fields.ts';
import { needsMailbox } from '../dialects/mailbox.ts';
import { anyId } from '../input/kinds.ts';
import type { Operation, Tool } from '../operation.ts';
import { isObject } from './protocol.ts';
import { WORDS } from './words.ts';

type Json = Record<string, unknown>;

export interface InputSchema {
  type: 'object';
  properties: Record<string, Json>;
  required?: string[];
  additionalProperties: false;
}

/** The names a tool takes: those it lists, and the mailbox where one is needed. */
export function namesOf(one: Operation, { takes }: Tool): string[] {
  return needsMailbox(one) && !takes.includes('mailbox_id') ? [...takes, 'mailbox_id'] : [...takes];
}

/** Those of them that cannot be left out. The mailbox can, unless the tool itself asks for it. */
export function requiredOf(one: Operation, tool: Tool): string[] {
  const shape = one.input.shape as Record<string, z.ZodType>;
  return namesOf(one, tool).filter((name) => {
    if (tool.requires?.includes(name)) return true;
    const member = memberOf(one, name);
    return (
      name !== 'mailbox_id' && member !== undefined && shape[member]?.safeParse(undefined).success === false
    );
  });
}

export function inputSchema(one: Operation, tool: Tool): InputSchema {
  const whole = z.toJSONSchema(one.input, { io: 'input', unrepresentable: 'any' });
  const members = (whole.properties ?? {}) as Record<string, Json>;
  const required = requiredOf(one, tool);
  const properties = namesOf(one, tool).map((name): [string, Json] => {
    const member = memberOf(one, name);
    if (member === undefined)
      throw new Error(`the tool ${one.name} takes ${name}, which its operation does not`);
    return [name, described(name, simple(members[member] ?? {}))];
  });
  return {
    type: 'object',
    properties: Object.fromEntries(properties),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}

/** What says no more of itself than that it is an id is told in the words of all tools. */
function described(name: string, schema: Json): Json {
  if (name === 'mailbox_id') return { ...schema, description: MAILBOX };
  const own = schema.description === anyId.description ? undefined : schema.description;
  const description = own ?? WORDS[name];
  return description === undefined ? schema : { ...schema, description };
}

const MAILBOX = 'Id or address of the mailbox; may be left out when only one can be meant';

/** Left to us to check: not every client reads every pattern. The limits are those of numbers, not ours. */
const UNSAID = ['$schema', 'pattern', 'propertyNames', 'default'];

/**
 * A schema without choices: where several forms are read, the first is the one that a tool is asked for. REST
 * takes a list as one text, or a flag as a number; a model that may choose chooses the worse.
 */
function simple(schema: Json): Json {
  const { anyOf, type, ...rest } = schema;
  if (Array.isArray(anyOf)) {
    const forms = anyOf.filter(isObject);
    const first = simple(forms.find((form) => form.type !== 'null') ?? {});
    const nullable = forms.some((form) => form.type === 'null');
    return { ...(nullable ? orNull(first) : first), ...said(rest) };
  }
  if (!Array.isArray(type)) return { ...(type !== undefined && { type }), ...said(rest) };
  const first: Json = { type: type.find((name) => name !== 'null') ?? 'null', ...said(rest) };
  return type.includes('null') ? orNull(first) : first;
}

function orNull(schema: Json): Json {
  if (typeof schema.type !== 'string' || schema.type === 'null') return schema;
  const { enum: values, ...rest } = schema;
  return {
    ...rest,
    type: [schema.type, 'null'],
    ...(Array.isArray(values) && { enum: [...values, null] }),
  };
}

function said(schema: Json): Json {
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([name, value]) => !UNSAID.includes(name) && !isMachineLimit(value))
      .map(([name, value]) => [name, nested(name, value)]),
  );
}

function nested(name: string, value: unknown): unknown {
  if (name === 'properties' && isObject(value))
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, simple(one as Json)]));
  return (name === 'items' || name === 'additionalProperties') && isObject(value) ? simple(value) : value;
}

function isMachineLimit(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) === Number.MAX_SAFE_INTEGER;
}
