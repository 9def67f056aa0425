/** The audit log, read and exported. */
import { z } from 'zod';
import { isMode } from '../../core/mail/mode.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import {
  type AuditEvent,
  type AuditFilter,
  auditId,
  listAudit,
  record,
  seqOf,
} from '../../core/store/audit.ts';
import { CSV_HEADER, csvLine } from '../csv.ts';
import { limit, moment, several } from '../kinds.ts';
import { type Call, operation, Raw } from '../operation.ts';
import { invalid, Problem } from '../problem.ts';

export const AuditEntry = z.object({
  id: z.string(),
  action: z.string(),
  resource_type: z.string(),
  resource_id: z.string(),
  mailbox_id: z.string().nullable(),
  actor: z.object({ type: z.string(), id: z.string().nullable(), name: z.string() }),
  actor_key_id: z.string().nullable(),
  from_state: z.string().nullable(),
  to_state: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  created_at: z.string(),
});

export function entryOf(event: AuditEvent): z.input<typeof AuditEntry> {
  return {
    id: auditId(event),
    action: event.action,
    resource_type: event.resourceType,
    resource_id: event.resourceId,
    mailbox_id: event.mailboxId,
    actor: { type: event.actorType, id: event.actorId, name: event.actorName },
    actor_key_id: event.actorType === 'key' ? event.actorId : null,
    from_state: event.fromState,
    to_state: event.toState,
    metadata: event.metadata,
    created_at: event.at.toISOString(),
  };
}

const filters = {
  action: several.optional().describe('Exact, or a prefix such as message.*'),
  message_id: several.optional(),
  email_id: several.optional().describe('The same as message_id'),
  mailbox: several.optional().describe('Ids or addresses'),
  mailbox_id: several.optional().describe('The same as mailbox'),
  actor: several.optional().describe('Id or name of who did it'),
  agent: several.optional(),
  oversight_mode: several.optional(),
  from: several.optional().describe('Addresses, or *@domain'),
  to: several.optional().describe('Addresses, or *@domain'),
  since: moment.optional(),
  until: moment.optional(),
  date_after: moment.optional().describe('The same as since'),
  date_before: moment.optional().describe('The same as until'),
};
const Filters = z.object(filters);

async function filterOf(given: z.output<typeof Filters>, { runtime }: Call): Promise<AuditFilter> {
  const unknown = given.oversight_mode?.find((name) => !isMode(name));
  if (unknown !== undefined)
    throw invalid(400, 'unknown_mode', [{ field: 'oversight_mode', message: 'there is no such mode' }]);
  const mailboxes = given.mailbox ?? given.mailbox_id;
  const filter: AuditFilter = {
    since: given.since ?? given.date_after ?? null,
    until: given.until ?? given.date_before ?? null,
  };
  if (given.action) filter.actions = given.action;
  if (given.message_id ?? given.email_id) filter.messageIds = given.message_id ?? given.email_id!;
  if (given.actor) filter.actors = given.actor;
  if (given.agent) filter.agents = given.agent;
  if (given.oversight_mode) filter.modes = given.oversight_mode;
  if (given.from) filter.from = given.from;
  if (given.to) filter.to = given.to;
  if (mailboxes !== undefined) {
    const found = await Promise.all(mailboxes.map((one) => findMailbox(runtime.database.pool, one)));
    // a name that nobody bears matches nothing; it must not widen the question
    filter.mailboxIds = found.map((mailbox) => mailbox?.id ?? '-');
  }
  return filter;
}

export const listAuditLog = operation({
  name: 'list_audit_log',
  summary: 'Events of the audit log, newest first',
  area: 'audit',
  access: 'admin',
  method: 'GET',
  path: '/v1/audit-log',
  input: Filters.extend({ limit: limit(50, 100), cursor: z.string().optional() }),
  output: z.object({ entries: z.array(AuditEntry), cursor: z.string().nullable() }),
  async handle(input, call) {
    const beyond = input.cursor === undefined ? null : seqOf(input.cursor);
    if (beyond === undefined) throw new Problem(400, 'invalid_cursor', 'This cursor was not given out here.');
    const { events, more } = await listAudit(call.runtime.database.pool, await filterOf(input, call), {
      order: 'newest',
      beyond,
      limit: input.limit,
    });
    return { entries: events.map(entryOf), cursor: more ? auditId(events.at(-1)!) : null };
  },
});

export const exportAuditLog = operation({
  name: 'export_audit_log',
  summary: 'All events that match, oldest first, as NDJSON or CSV; the export is audited',
  area: 'audit',
  access: 'admin',
  method: 'GET',
  path: '/v1/audit-log/export',
  input: Filters.extend({ format: z.enum(['ndjson', 'csv']).default('ndjson') }),
  output: 'raw',
  async handle(input, call) {
    const filter = await filterOf(input, call);
    await record(call.runtime.database.pool, {
      action: 'audit.exported',
      resourceType: 'audit',
      resourceId: 'audit',
      actor: call.caller.actor,
      metadata: { format: input.format },
    });
    const csv = input.format === 'csv';
    return new Raw(csv ? csvOf(entries(filter, call)) : ndjsonOf(entries(filter, call)), {
      'content-type': csv ? 'text/csv; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
      'content-disposition': `attachment; filename="audit.${input.format}"`,
    });
  },
});

type Entry = z.input<typeof AuditEntry>;

/** A page at a time, so that an export of years needs the memory of one page. */
async function* entries(filter: AuditFilter, { runtime }: Call): AsyncGenerator<Entry> {
  for (let beyond: number | null = null; ; ) {
    const page: { events: AuditEvent[]; more: boolean } = await listAudit(runtime.database.pool, filter, {
      order: 'oldest',
      beyond,
      limit: 1000,
    });
    yield* page.events.map(entryOf);
    if (!page.more) return;
    beyond = page.events.at(-1)!.seq;
  }
}

async function* ndjsonOf(all: AsyncIterable<Entry>): AsyncGenerator<string> {
  for await (const entry of all) yield `${oneJsonLine(entry)}\n`;
}

/** Some readers end a line at more characters than LF; escaped, they are the same JSON. */
function oneJsonLine(entry: Entry): string {
  const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(entry).replace(/[\u0085\u2028\u2029]/g, escaped);
}

async function* csvOf(all: AsyncIterable<Entry>): AsyncGenerator<string> {
  yield CSV_HEADER;
  for await (const entry of all) yield csvLine(entry);
}

export const auditOperations = [listAuditLog, exportAuditLog];
