/**
 * Everything the account holds, without its secrets, written as it is read: an export of years needs the memory of
 * one page.
 */
import { z } from 'zod';
import { firstIdAt } from '../../core/mail/id.ts';
import { readAccount } from '../../core/store/account.ts';
import { listMailboxes } from '../../core/store/accounts.ts';
import { listAllowlist } from '../../core/store/allowlists.ts';
import { record } from '../../core/store/audit.ts';
import { listAudit } from '../../core/store/audit-search.ts';
import { listContacts } from '../../core/store/contacts.ts';
import { listDomains } from '../../core/store/domains.ts';
import { messageIds } from '../../core/store/export.ts';
import { listKeys } from '../../core/store/keys.ts';
import { readMessage } from '../../core/store/messages.ts';
import { listSuppressions } from '../../core/store/suppressions.ts';
import { listWebhooks } from '../../core/store/webhooks.ts';
import { requireRate } from '../access/limiter.ts';
import { type Call, operation, Raw } from '../operation.ts';
import { bodyOf, withStructure } from '../reading/bodies.ts';
import { entriesOf } from '../views/audit-entries.ts';
import { emailOf } from '../views/emails.ts';
import { mailboxView } from '../views/mailbox.ts';
import { accountView } from './account.ts';
import { contactView } from './contacts.ts';
import { domainView } from './domains.ts';
import { keyView } from './keys.ts';
import { suppressionView } from './suppression.ts';
import { listedView } from './webhooks.ts';

interface Section {
  /** Its member of the one JSON object. */
  member: string;
  /** What one record of it is called in NDJSON. */
  kind: string;
  records(call: Call): AsyncIterable<object>;
}

const PAGE = 500;

const SECTIONS: readonly Section[] = [
  { member: 'mailboxes', kind: 'mailbox', records: mailboxes },
  { member: 'allowlists', kind: 'allowlist_entry', records: allowlists },
  {
    member: 'contacts',
    kind: 'contact',
    records: ({ runtime }) =>
      paged(async (after) => {
        const page = await listContacts(runtime.database.pool, { text: null, after, limit: PAGE });
        return { rows: page.contacts, more: page.more };
      }, contactView),
  },
  {
    member: 'suppressions',
    kind: 'suppression',
    records: ({ runtime }) =>
      paged(async (after) => {
        const page = await listSuppressions(runtime.database.pool, { after, limit: PAGE });
        return { rows: page.suppressions, more: page.more };
      }, suppressionView),
  },
  {
    member: 'domains',
    kind: 'domain',
    records: (call) => all(listDomains(call.runtime.database.pool), (one) => domainView(one, call)),
  },
  {
    member: 'webhooks',
    kind: 'webhook',
    records: ({ runtime }) => all(listWebhooks(runtime.database.pool), listedView),
  },
  {
    member: 'api_keys',
    kind: 'api_key',
    records: ({ runtime }) => all(listKeys(runtime.database.pool), keyView),
  },
  { member: 'emails', kind: 'email', records: emails },
  { member: 'audit_log', kind: 'audit_event', records: auditEvents },
];

async function* all<T>(rows: Promise<T[]>, view: (row: T) => object): AsyncGenerator<object> {
  for (const row of await rows) yield view(row);
}

async function* paged<T extends { id: string }>(
  read: (after: string | null) => Promise<{ rows: T[]; more: boolean }>,
  view: (row: T) => object,
): AsyncGenerator<object> {
  for (let after: string | null = null; ; ) {
    const { rows, more }: { rows: T[]; more: boolean } = await read(after);
    yield* rows.map(view);
    if (!more) return;
    after = rows.at(-1)!.id;
  }
}

async function* mailboxes({ runtime }: Call): AsyncGenerator<object> {
  const { id } = await readAccount(runtime.database.pool);
  for (const mailbox of await listMailboxes(runtime.database.pool)) yield mailboxView(mailbox, id);
}

async function* allowlists({ runtime }: Call): AsyncGenerator<object> {
  for (const { id } of await listMailboxes(runtime.database.pool))
    for (const one of await listAllowlist(runtime.database.pool, id))
      yield {
        id: one.id,
        mailbox_id: id,
        pattern: one.pattern,
        note: one.note,
        created_at: one.createdAt.toISOString(),
      };
}

/** In full, as `read_email` tells them; reading them here marks nothing as read. */
async function* emails({ runtime }: Call): AsyncGenerator<object> {
  const db = runtime.database.pool;
  for (let after = firstIdAt(0); ; ) {
    const ids = await messageIds(db, after, PAGE);
    for (const id of ids) {
      const found = await readMessage(db, id, null);
      if (found === undefined) continue; // removed meanwhile
      const full = await withStructure(found, db);
      const text = await bodyOf(full, runtime);
      yield { ...emailOf(full), markdown: text, body: text };
    }
    if (ids.length < PAGE) return;
    after = ids.at(-1)!;
  }
}

async function* auditEvents({ runtime }: Call): AsyncGenerator<object> {
  const db = runtime.database.pool;
  for (let beyond: number | null = null; ; ) {
    const page = await listAudit(db, {}, { order: 'oldest', beyond, limit: PAGE });
    yield* await entriesOf(db, page.events);
    if (!page.more) return;
    beyond = page.events.at(-1)!.seq;
  }
}

async function* asJson(call: Call): AsyncGenerator<string> {
  yield `{"exported_at":${JSON.stringify(new Date())},\n"account":${JSON.stringify(await accountView(call.runtime))}`;
  for (const { member, records } of SECTIONS) {
    yield `,\n"${member}":[`;
    let comma = '';
    for await (const one of records(call)) {
      yield `${comma}\n${JSON.stringify(one)}`;
      comma = ',';
    }
    yield ']';
  }
  yield '}\n';
}

async function* asNdjson(call: Call): AsyncGenerator<string> {
  const line = (kind: string, one: object) => `${oneLine({ kind, record: one })}\n`;
  yield line('export', { exported_at: new Date().toISOString() });
  yield line('account', await accountView(call.runtime));
  for (const { kind, records } of SECTIONS) for await (const one of records(call)) yield line(kind, one);
}

/** Some readers end a line at more characters than LF; escaped, they are the same JSON. */
function oneLine(one: object): string {
  const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(one).replace(/[\u0085\u2028\u2029]/g, escaped);
}

const exportAll = operation({
  name: 'export_account',
  summary: 'Everything the account holds, without secrets; once an hour, and audited',
  area: 'account',
  access: 'admin',
  method: 'GET',
  path: '/v1/export',
  input: z.object({ format: z.enum(['json', 'ndjson']).default('json') }),
  media: ['application/json', 'application/x-ndjson'],
  output: 'raw',
  async handle({ format }, call) {
    const { runtime, caller } = call;
    const { id } = await readAccount(runtime.database.pool);
    await requireRate(runtime, 'export', id, 1, 3600);
    await record(runtime.database.pool, {
      action: 'export.made',
      resourceType: 'account',
      resourceId: id,
      actor: caller.actor,
      metadata: { format },
    });
    const isJson = format === 'json';
    return new Raw(isJson ? asJson(call) : asNdjson(call), {
      'content-type': `application/${isJson ? 'json' : 'x-ndjson'}; charset=utf-8`,
      'content-disposition': `attachment; filename="postern-export.${format}"`,
    });
  },
});

export const exportOperations = [exportAll];
