/**
 * Which mailbox a call means that names none in its path: the one it names otherwise, else the one of the message
 * it is about, else the one its key is bound to, else the only one there is.
 */
import { findMailbox, listMailboxes } from '../../core/store/accounts.ts';
import { mailboxOfMessage } from '../../core/store/message-mailbox.ts';
import { textFault } from '../input/texts.ts';
import type { Call, Operation } from '../operation.ts';
import { invalid, notFound, Problem } from '../problem.ts';
import { conflict, type Given } from './fields.ts';

/** Stands in an input while the mailbox is still to be found. */
export const ANY_MAILBOX = '-';

const NEEDS = new WeakMap<object, boolean>();

/** Whether an operation works on one mailbox and cannot do without. */
export function needsMailbox({ input }: Pick<Operation, 'input'>): boolean {
  const member = input.shape.mailbox_id;
  if (member === undefined) return false;
  const known = NEEDS.get(member) ?? !member.safeParse(undefined).success;
  NEEDS.set(member, known);
  return known;
}

export interface Asked {
  /** The input without the names of the mailbox, which stands as `mailbox_id` if it was named. */
  given: Given;
  /** The mailbox has still to be found, when the input has been read. */
  open: boolean;
  /** Names it was given; where there are two they have to mean the same mailbox. */
  names: string[];
}

/** Takes the mailbox's names out of what was given to an operation that needs one. */
export function mailboxNames(one: Operation, given: Given): Asked {
  if (!needsMailbox(one)) return { given, open: false, names: [] };
  const { mailbox, from, ...rest } = given;
  const isMember = (name: string) => Object.hasOwn(one.input.shape, name);
  if (isMember('mailbox') && mailbox !== undefined) rest.mailbox = mailbox;
  if (isMember('from') && from !== undefined) rest.from = from;
  const named = [rest.mailbox_id, isMember('mailbox') ? undefined : mailbox].filter(
    (name) => name !== undefined,
  );
  for (const name of named) mustBeName(name);
  const names = [...new Set(named as string[])];
  // Where it is no member of its own, `from` can only pick the mailbox.
  if (names.length === 0 && !isMember('from') && typeof from === 'string' && from !== '')
    return { given: { ...rest, mailbox_id: from }, open: false, names: [from] };
  // Beside a name it picks nothing: it is then a field that this operation does not have.
  if (names.length > 0 && from !== undefined) rest.from = from;
  return {
    given: { ...rest, mailbox_id: names[0] ?? ANY_MAILBOX },
    open: names.length === 0,
    names,
  };
}

/** Of two names only one gets into the input and is read there, so both are looked at here. */
function mustBeName(name: unknown): void {
  const broken = textFault(name, ['mailbox_id']);
  if (broken !== undefined && typeof name === 'string') throw invalid(422, 'invalid_text', [broken]);
  if (typeof name !== 'string' || name === '' || name.length > 320)
    throw invalid(400, 'invalid_field', [
      { field: 'mailbox_id', message: 'must be the id or address of a mailbox' },
    ]);
}

/** The id or address of the mailbox that is meant; throws where it cannot be told. */
export async function meantMailbox(
  { open, names }: Asked,
  input: Record<string, unknown>,
  call: Call,
): Promise<string> {
  if (!open) return names.length > 1 ? sameMailbox(names, call) : names[0]!;
  if (typeof input.from === 'string') return senderMailbox(input.from, call);
  const { runtime, caller } = call;
  const message = input.email_id ?? input.thread_id;
  if (typeof message === 'string') {
    const found = await mailboxOfMessage(runtime.database.pool, message);
    // Of another's mailbox, it is told in the same words: whether it exists is nobody else's business.
    if (found === undefined || (caller.onlyMailbox ?? found) !== found)
      throw notFound('There is no such message.');
    return found;
  }
  return caller.onlyMailbox ?? onlyMailbox(call);
}

async function sameMailbox(names: string[], { runtime }: Call): Promise<string> {
  const found = await Promise.all(names.map((name) => findMailbox(runtime.database.pool, name)));
  if (new Set(found.map((one) => one?.id)).size > 1) throw conflict('mailbox_id');
  return names[0]!;
}

/** Of mail to be sent: the mailbox whose address it is from. */
async function senderMailbox(address: string, { runtime, caller }: Call): Promise<string> {
  const found = await findMailbox(runtime.database.pool, address);
  if (found === undefined || (caller.onlyMailbox !== null && found.id !== caller.onlyMailbox))
    throw new Problem(422, 'unknown_sender', 'from: there is no mailbox with this address to send from.', {
      field: 'from',
    });
  return found.id;
}

async function onlyMailbox({ runtime }: Call): Promise<string> {
  const open = (await listMailboxes(runtime.database.pool)).filter(({ isActive }) => isActive);
  if (open.length === 1) return open[0]!.id;
  throw new Problem(
    400,
    'mailbox_required',
    open.length === 0
      ? 'mailbox_id: there is no mailbox yet; make one first.'
      : 'mailbox_id: there are several mailboxes; say which one is meant.',
    { field: 'mailbox_id', mailboxes: open.slice(0, 100).map(({ id, address }) => ({ id, address })) },
  );
}
