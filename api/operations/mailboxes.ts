/** Mailboxes: listed, made, changed. People's say over one is only ever widened here. */
import { z } from 'zod';
import { type Address, parseAddress } from '../../core/mail/address.ts';
import { MODES, type Mode, strictest } from '../../core/mail/mode.ts';
import {
  createMailbox,
  findMailbox,
  listMailboxes,
  type MailboxChanges,
  type MailboxFacts,
  setMode,
  updateMailbox,
} from '../../core/store/accounts.ts';
import { coded } from '../faults.ts';
import { label, modeName } from '../kinds.ts';
import { type Call, operation } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';

const Mailbox = z.object({
  id: z.string(),
  address: z.string(),
  display_name: z.string().nullable(),
  oversight_mode: z.string(),
  oversight_address: z.string().nullable(),
  route: z.string().nullable(),
  default_gate_timing: z.string(),
  hold_expiry_hours: z.number(),
  is_active: z.number(),
  created_at: z.number(),
});

function mailboxView(m: MailboxFacts): z.input<typeof Mailbox> {
  return {
    id: m.id,
    address: m.address,
    display_name: m.displayName,
    oversight_mode: m.oversightMode,
    oversight_address: m.oversightAddress,
    route: m.route,
    default_gate_timing: m.gateTiming,
    hold_expiry_hours: m.holdExpiryHours,
    is_active: m.isActive ? 1 : 0,
    created_at: m.createdAt.getTime(),
  };
}

/** The mailbox a path names by id or address, if the caller may see it. */
export async function namedMailbox(named: string, { runtime, caller }: Call): Promise<MailboxFacts> {
  const found = await findMailbox(runtime.database.pool, named);
  if (found === undefined || (caller.onlyMailbox !== null && caller.onlyMailbox !== found.id))
    throw notFound('There is no such mailbox.');
  return found;
}

const address = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text, { smtputf8: true });
  if (parsed.ok) return parsed.address;
  context.addIssue({
    code: 'custom',
    message: 'is no address that mail can be sent to',
    ...coded('invalid_address'),
  });
  return z.NEVER;
});

const displayName = label.nullable();
const route = z.string().max(64).nullable();
const named = z.string().min(1).max(320).describe('Id or address of the mailbox');

export const listAllMailboxes = operation({
  name: 'list_mailboxes',
  summary: 'The mailboxes a key may see',
  area: 'mailboxes',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes',
  input: z.object({}),
  output: z.object({ mailboxes: z.array(Mailbox) }),
  async handle(_, { runtime, caller }) {
    const all = await listMailboxes(runtime.database.pool);
    const seen = all.filter(({ id }) => caller.onlyMailbox === null || id === caller.onlyMailbox);
    return { mailboxes: seen.map(mailboxView) };
  },
});

export const showMailbox = operation({
  name: 'get_mailbox',
  summary: 'One mailbox',
  area: 'mailboxes',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id',
  input: z.object({ mailbox_id: named }),
  output: Mailbox,
  async handle({ mailbox_id }, call) {
    return mailboxView(await namedMailbox(mailbox_id, call));
  },
});

export const addMailbox = operation({
  name: 'create_mailbox',
  summary: 'Make a mailbox; by key it starts no looser than gated_send',
  area: 'mailboxes',
  access: 'admin',
  method: 'POST',
  path: '/v1/mailboxes',
  status: 201,
  input: z.object({
    address,
    display_name: displayName.optional(),
    oversight_mode: modeName.optional(),
    oversight_address: address.nullable().optional(),
    route: route.optional(),
  }),
  output: z.object({
    ...Mailbox.shape,
    requested_oversight_mode: z.string().optional(),
    note: z.string().optional(),
  }),
  async handle(input, call) {
    const { runtime, caller } = call;
    const asked = (input.oversight_mode ?? 'gated_send') as Mode;
    const mode = strictest('gated_send', asked);
    checkRoute(input.route, call);
    const made = await createMailbox(
      runtime.database.pool,
      {
        address: input.address,
        displayName: input.display_name ?? null,
        oversightMode: mode,
        oversightAddress: input.oversight_address ?? null,
        route: input.route ?? null,
      },
      caller.actor,
    );
    if (made === undefined)
      throw new Problem(409, 'address_in_use', 'This address is, or was, given to a mailbox.', {
        field: 'address',
      });
    return {
      ...mailboxView(made),
      ...(mode !== asked && {
        requested_oversight_mode: asked,
        note: `It starts as ${mode}: an operator loosens it with postern mailbox set-mode.`,
      }),
    };
  },
});

export const changeMailbox = operation({
  name: 'update_mailbox',
  summary: 'Change a mailbox; its mode can only be tightened here',
  area: 'mailboxes',
  access: 'admin',
  confined: true,
  method: 'PATCH',
  path: '/v1/mailboxes/:mailbox_id',
  input: z.object({
    mailbox_id: named,
    display_name: displayName.optional(),
    oversight_mode: modeName.optional(),
    oversight_address: address.nullable().optional(),
    route: route.optional(),
    default_gate_timing: z.enum(['gate_first', 'schedule_first']).optional(),
    hold_expiry_hours: z.number().int().min(1).max(2160).optional(),
  }),
  output: z.object({ status: z.literal('updated'), mailbox: Mailbox }),
  async handle({ mailbox_id, oversight_mode: asked, ...input }, call) {
    const mailbox = await namedMailbox(mailbox_id, call);
    checkRoute(input.route, call);
    const changes: MailboxChanges = {};
    if (input.display_name !== undefined) changes.displayName = input.display_name;
    if (input.oversight_address !== undefined) changes.oversightAddress = input.oversight_address;
    if (input.route !== undefined) changes.route = input.route;
    if (input.default_gate_timing !== undefined) changes.gateTiming = input.default_gate_timing;
    if (input.hold_expiry_hours !== undefined) changes.holdExpiryHours = input.hold_expiry_hours;
    // In one transaction: a request that is refused changes nothing.
    const after = await call.runtime.database.transaction(async (db) => {
      if (asked !== undefined) {
        const changed = await setMode(db, mailbox.id, asked as Mode, call.caller.actor, {
          onlyTighten: true,
        });
        if (changed?.mode !== asked) throw upgradeRequired(asked);
      }
      return updateMailbox(db, mailbox.id, changes, call.caller.actor);
    });
    return {
      status: 'updated' as const,
      mailbox: mailboxView(after ?? mailbox),
    };
  },
});

function upgradeRequired(asked: string): Problem {
  return new Problem(
    400,
    'upgrade_required',
    `A key cannot loosen a mailbox to ${asked}. Whoever operates this gateway does it with: postern mailbox set-mode.`,
    { field: 'oversight_mode', modes: MODES },
  );
}

function checkRoute(name: string | null | undefined, { runtime }: Call): void {
  if (name != null && !Object.hasOwn(runtime.config.delivery.routes, name))
    throw new Problem(400, 'invalid_field', 'route: there is no route of this name in delivery.routes', {
      field: 'route',
    });
}

export const mailboxOperations = [listAllMailboxes, showMailbox, addMailbox, changeMailbox];
