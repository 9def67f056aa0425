/** The audit log, read and exported. */
import { z } from 'zod';
import { isMode } from '../../core/mail/mode.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import { type AuditEvent, auditId, readAuditEvent, record, seqOf } from '../../core/store/audit.ts';
import type { AuditFilter } from '../../core/store/audit-filter.ts';
import { listAudit } from '../../core/store/audit-search.ts';
import { paging, placeAmong } from '../input/cursor.ts';
import { limit, moment, several } from '../input/kinds.ts';
import { type Call, operation, Raw } from '../operation.ts';
import { invalid, notFound } from '../problem.ts';
import { AuditEntry, type Entry, entriesOf } from '../views/audit-entries.ts';
import { CSV_HEADER, csvLine } from '../views/csv.ts';
import { Proof, proofOf } from './checkpoints.ts';

const filters = {
  agent: several.optional().describe('Of the messages: the agent, as the caller gave it or of the key'),
  oversight_mode: several.optional().describe('Of the messages: the effective mode'),
  tag: several.optional().describe('Of the messages: a tag by its key, or key=value'),
  action: several.optional().describe('Exact, or a prefix such as message.*'),
  mailbox: several.optional().describe('Ids or addresses'),
  message_id: several.optional(),
  from: several.optional().describe('Of the messages: addresses, or *@domain'),
  to: several.optional().describe('Of the messages: addresses, or *@domain'),
  actor: several.optional().describe('Id or name of who did it'),
  since: moment.optional().describe('From this moment on'),
  until: moment.optional().describe('Before this moment'),
};
const Filters = z.object(filters);

async function filterOf(given: z.output<typeof Filters>, { runtime }: Call): Promise<AuditFilter> {
  const unknown = given.oversight_mode?.find((name) => !isMode(name));
  if (unknown !== undefined)
    throw invalid(400, 'unknown_mode', [{ field: 'oversight_mode', message: 'there is no such mode' }]);
  return {
    since: given.since ?? null,
    until: given.until ?? null,
    ...(given.action && { actions: given.action }),
    ...(given.message_id && { messageIds: given.message_id }),
    ...(given.actor && { actors: given.actor }),
    ...(given.agent && { agents: given.agent }),
    ...(given.oversight_mode && { modes: given.oversight_mode }),
    ...(given.tag && { tags: given.tag.map(tagOf) }),
    ...(given.from && { from: given.from }),
    ...(given.to && { to: given.to }),
    ...(given.mailbox && { mailboxIds: await mailboxIds(given.mailbox, runtime) }),
  };
}

function tagOf(text: string): { key: string; value: string | null } {
  const equals = text.indexOf('=');
  return equals === -1
    ? { key: text, value: null }
    : { key: text.slice(0, equals), value: text.slice(equals + 1) };
}

/** A name that nobody bears matches nothing; it must not widen the question. */
function mailboxIds(named: string[], { database }: Call['runtime']): Promise<string[]> {
  return Promise.all(named.map(async (one) => (await findMailbox(database.pool, one))?.id ?? '-'));
}

export const listAuditLog = operation({
  name: 'get_audit_log',
  summary: 'Events of the audit log, newest first',
  area: 'audit',
  access: 'admin',
  method: 'GET',
  path: '/v1/audit-log',
  input: Filters.extend({ limit: limit(50, 100), ...paging }),
  output: z.object({ entries: z.array(AuditEntry), cursor: z.string().nullable() }),
  tool: {
    description:
      'Reads the audit log, newest first: who did what, and when, to which message, mailbox or key. Filters combine.',
    takes: [
      'limit',
      'cursor',
      'agent',
      'oversight_mode',
      'tag',
      'action',
      'mailbox',
      'message_id',
      'from',
      'to',
      'since',
      'until',
    ],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(input, call) {
    const { beyond, before, offset } = placeAmong(input, seqOf);
    const filter = await filterOf(input, call);
    if (before !== null && (filter.until == null || before < filter.until)) filter.until = before;
    const { events, more } = await listAudit(call.runtime.database.pool, filter, {
      order: 'newest',
      beyond,
      limit: offset + input.limit,
    });
    const page = events.slice(offset);
    return {
      entries: await entriesOf(call.runtime.database.pool, page),
      cursor: more ? auditId(events.at(-1)!) : null,
    };
  },
});

export const readAuditLog = operation({
  name: 'read_audit_entry',
  summary: 'One event, with the proof that a checkpoint covers it',
  area: 'audit',
  access: 'admin',
  method: 'GET',
  path: '/v1/audit-log/:entry_id',
  input: z.object({ entry_id: z.string().min(1).max(64) }),
  output: AuditEntry.extend({ proof: Proof.nullable() }),
  async handle({ entry_id }, { runtime }) {
    const seq = seqOf(entry_id);
    const event = seq === undefined ? undefined : await readAuditEvent(runtime.database.pool, seq);
    if (event === undefined || auditId(event) !== entry_id) throw notFound('There is no such event.');
    const [entry] = await entriesOf(runtime.database.pool, [event]);
    return { ...entry!, proof: await proofOf(runtime.database.pool, event) };
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
  media: ['application/x-ndjson', 'text/csv'],
  async handle(input, call) {
    const filter = await filterOf(input, call);
    await record(call.runtime.database.pool, {
      action: 'audit.exported',
      resourceType: 'audit',
      resourceId: 'audit',
      actor: call.caller.actor,
      metadata: { format: input.format, filter },
    });
    const csv = input.format === 'csv';
    return new Raw(csv ? csvOf(entries(filter, call)) : ndjsonOf(entries(filter, call)), {
      'content-type': csv ? 'text/csv; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
      'content-disposition': `attachment; filename="audit.${input.format}"`,
    });
  },
});

/** A page at a time, so that an export of years needs the memory of one page. */
async function* entries(filter: AuditFilter, { runtime }: Call): AsyncGenerator<Entry> {
  for (let beyond: number | null = null; ; ) {
    const page: { events: AuditEvent[]; more: boolean } = await listAudit(runtime.database.pool, filter, {
      order: 'oldest',
      beyond,
      limit: 1000,
    });
    yield* await entriesOf(runtime.database.pool, page.events);
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

export const auditOperations = [listAuditLog, exportAuditLog, readAuditLog];
