/** Waiting for mail, such as an answer or a code, without asking again and again. */
import { z } from 'zod';
import { readKey } from '../../core/store/keys.ts';
import type { MessageFacts } from '../../core/store/messages.ts';
import { type Call, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { waitingOf } from '../reading/waiting.ts';
import { EmailSummary, summaryOf } from '../views/emails.ts';
import { mailboxId } from './emails.ts';
import { namedMailbox } from './mailboxes.ts';

const SHORTEST = 5;
const USUAL = 30;
const LONGEST = 120;
/** A key waits so many times at once. */
const AT_ONCE = 8;
const TOLD = 5;

const sender = z.string().max(320).optional().describe("Part of the sender's address");
const subject = z.string().max(200).optional().describe('Part of the subject');

export const waitForEmail = operation({
  name: 'wait_for_email',
  summary: 'Wait until new mail arrives that fits',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/wait_for_email',
  input: z.object({
    mailbox_id: mailboxId,
    timeout_seconds: z.coerce
      .number()
      .default(USUAL)
      .transform((seconds) => Math.min(LONGEST, Math.max(SHORTEST, seconds)))
      .describe(`How long to wait, ${SHORTEST} to ${LONGEST} (${USUAL})`),
    filter: z.strictObject({ sender, subject_contains: subject }).optional(),
    sender,
    subject_contains: subject,
    'filter[sender]': sender,
    'filter[subject_contains]': subject,
  }),
  output: z.object({
    found: z.boolean(),
    emails: z.array(EmailSummary).optional(),
    timeout: z.boolean().optional(),
    waited_seconds: z.number().optional(),
  }),
  tool: {
    description:
      'Waits until new mail arrives, at most timeout_seconds, and lists it without the text. Only mail counts that comes after the call; filter narrows it to a sender or a subject.',
    takes: ['timeout_seconds', 'filter'],
    hints: ['readOnly', 'idempotent'],
    tells: 'fields',
  },
  async handle(input, call) {
    const mailbox = await namedMailbox(input.mailbox_id, call);
    const { filter = {} } = input;
    const fits = fitting(
      filter.sender ?? input.sender ?? input['filter[sender]'] ?? '',
      filter.subject_contains ?? input.subject_contains ?? input['filter[subject_contains]'] ?? '',
    );
    const began = performance.now();
    const all = await counted(call, () =>
      waitingOf(call.runtime).wait({
        mailboxId: mailbox.id,
        fits,
        milliseconds: input.timeout_seconds * 1000,
        gone: call.gone,
      }),
    );
    const found = all.length > 0 && (await mayStillRead(call)) ? all : [];
    if (found.length > 0) return { found: true, emails: found.slice(0, TOLD).map(summaryOf) };
    return { found: false, timeout: true, waited_seconds: Math.round((performance.now() - began) / 1000) };
  },
});

/** A wait is long: its key may have ended meanwhile, and is then told of nothing. */
async function mayStillRead({ runtime, caller }: Call): Promise<boolean> {
  const key = await readKey(runtime.database.pool, caller.key.id);
  const may = key?.scopes.some((scope) => scope === 'read' || scope === 'admin');
  return may === true && key?.revokedAt === null && (key.expiresAt === null || key.expiresAt > new Date());
}

/** As `sender` and `subject_contains` of a list. */
function fitting(sender: string, subject: string): (message: MessageFacts) => boolean {
  const [from, about] = [sender.toLowerCase(), subject.toLowerCase()];
  return (message) =>
    summaryOf(message).from.toLowerCase().includes(from) && message.subject.toLowerCase().includes(about);
}

const waits = new Map<string, number>();

/** Does it as one of the key's waits; 429 when it has too many already. */
async function counted<T>({ caller }: Call, work: () => Promise<T>): Promise<T> {
  const { id } = caller.key;
  const open = waits.get(id) ?? 0;
  if (open >= AT_ONCE)
    throw new Problem(
      429,
      'rate_limited',
      `This key waits for mail ${AT_ONCE} times already; one of those has to end first.`,
      {},
      { 'retry-after': String(SHORTEST) },
    );
  waits.set(id, open + 1);
  try {
    return await work();
  } finally {
    const left = waits.get(id)! - 1;
    if (left === 0) waits.delete(id);
    else waits.set(id, left);
  }
}

export const waitOperations = [waitForEmail];
