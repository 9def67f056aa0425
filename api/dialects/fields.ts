/**
 * Other names under which clients send what an operation's input calls by one. They are translated here, before
 * the input is read, so schemas and handlers know the canonical member alone.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Operation } from '../operation.ts';
import { invalid } from '../problem.ts';

/** Canonical member, then what it may be called. A name that an input has for itself is never taken for another. */
const ALIASES: readonly (readonly [canonical: string, ...aliases: string[]])[] = [
  ['markdown', 'body', 'text', 'text_body'],
  ['send_at', 'scheduled_at'],
  ['email_id', 'message_id', 'id'],
  // Filters and older inputs that name a message by its other name.
  ['message_id', 'email_id'],
  ['agent', 'agent_id'],
  ['address_local', 'address', 'address_local_part'],
  ['q', 'query'],
  ['mailbox', 'mailbox_id'],
  ['since', 'date_after'],
  ['until', 'date_before'],
];

/** Aliases that one operation alone has: elsewhere the word means something else. */
const OF_ONE: Readonly<Record<string, readonly (readonly [string, ...string[]])[]>> = {
  decide_email: [['action', 'decision']],
};

export type Given = Record<string, unknown>;

/** What was filled in of a query or a form: clients of many kinds send a blank for what their user left out. */
export function filled(given: Given, ...mayBeBlank: readonly string[]): Given {
  return Object.fromEntries(
    Object.entries(given).filter(([name, value]) => value !== '' || mayBeBlank.includes(name)),
  );
}

/** The member of an operation's input that a name stands for: itself, what it is an alias of, or none. */
export function memberOf(one: Pick<Operation, 'name' | 'input'>, name: string): string | undefined {
  const { shape } = one.input;
  if (Object.hasOwn(shape, name)) return name;
  const lines = [...(OF_ONE[one.name] ?? []), ...ALIASES];
  return lines.find(
    ([canonical, ...aliases]) => aliases.includes(name) && Object.hasOwn(shape, canonical),
  )?.[0];
}

/**
 * The input under canonical names. Two names of one member with different values are refused.
 * Which mailbox is meant is another question: see mailbox.ts.
 */
export function canonical(one: Pick<Operation, 'name' | 'input' | 'method'>, given: Given): Given {
  const told: Given = Object.create(null);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const member = memberOf(one, name) ?? name;
    if (Object.hasOwn(told, member) && !isDeepStrictEqual(told[member], value)) throw conflict(member);
    told[member] = value;
  }
  breakdown(one, told);
  statuses(one, told);
  return told;
}

export function conflict(member: string): Error {
  return invalid(400, 'conflicting_fields', [
    { field: member, message: 'is given twice, with different values' },
  ]);
}

/** `period=daily` is how some ask for `breakdown=daily`; `period=summary` for what is told without it. */
function breakdown({ input: { shape } }: Pick<Operation, 'input'>, told: Given): void {
  if (!Object.hasOwn(shape, 'breakdown') || Object.hasOwn(shape, 'period')) return;
  const { period } = told;
  if (period !== 'daily' && period !== 'summary') return;
  delete told.period;
  if (period === 'summary' ? told.breakdown !== undefined : (told.breakdown ?? 'daily') !== 'daily')
    throw conflict('breakdown');
  if (period === 'daily') told.breakdown = 'daily';
}

/** In a filter the status of outbound mail that waits for a decision is also called `pending_approval`. */
function statuses({ input: { shape }, method }: Pick<Operation, 'input' | 'method'>, told: Given): void {
  if (method !== 'GET' || !Object.hasOwn(shape, 'status')) return;
  const whole = (text: unknown) =>
    typeof text === 'string'
      ? text.replace(/(?<=^|,)(\s*)pending_approval(?=\s*(,|$))/g, '$1pending_send_approval')
      : text;
  told.status = Array.isArray(told.status) ? told.status.map(whole) : whole(told.status);
  if (told.status === undefined) delete told.status;
}
