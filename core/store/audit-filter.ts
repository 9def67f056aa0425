/**
 * Which events of the audit log are meant. Some filters ask of the event itself; tag, agent, mode and addresses ask
 * of the message it is about, and then all events of that message are meant.
 */

export interface AuditFilter {
  /** Exact names, and prefixes that end in `*`. */
  actions?: string[];
  messageIds?: string[];
  mailboxIds?: string[];
  /** Ids or names. */
  actors?: string[];
  since?: Date | null;
  until?: Date | null;
  /** As the caller gave it, or of the key. */
  agents?: string[];
  /** Effective modes. */
  modes?: string[];
  /** A key with any value, or with exactly this one. */
  tags?: { key: string; value: string | null }[];
  /** Addresses, or `*@domain`. */
  from?: string[];
  to?: string[];
}

export type Bind = (value: unknown) => string;

/** A statement's parameters, numbered as they come. */
export function parameters(): { values: unknown[]; bind: Bind } {
  const values: unknown[] = [];
  return { values, bind: (value) => `$${values.push(value)}` };
}

/** Conditions on the event `e`. */
export function ofEvent(filter: AuditFilter, bind: Bind): string[] {
  const found: string[] = [];
  const { actions = [], messageIds = [], mailboxIds = [], actors = [] } = filter;
  if (actions.length > 0) found.push(`e.action like any(${bind(actions.map(asPattern))}::text[])`);
  if (messageIds.length > 0)
    found.push(`e.resource_type = 'message' and e.resource_id = any(${bind(messageIds)}::text[])`);
  if (mailboxIds.length > 0) found.push(`e.mailbox_id = any(${bind(mailboxIds)}::text[])`);
  if (actors.length > 0) {
    const names = bind(actors);
    found.push(`(e.actor_name = any(${names}::text[]) or e.actor_id = any(${names}::text[]))`);
  }
  if (filter.since) found.push(`e.at >= ${bind(filter.since)}`);
  if (filter.until) found.push(`e.at < ${bind(filter.until)}`);
  return found;
}

export function asksOfMessage({ agents, modes, tags, from, to }: AuditFilter): boolean {
  return [agents, modes, tags, from, to].some((values) => values !== undefined && values.length > 0);
}

/** Conditions on the message `m`, whose composer is the principal `p`. */
export function ofMessage(filter: AuditFilter, bind: Bind): string[] {
  const found: string[] = [];
  const { agents = [], modes = [], tags = [], from = [], to = [] } = filter;
  if (tags.length > 0) found.push(`m.tags <> '{}'`, anyTag('m.tags', tags, bind));
  if (agents.length > 0) {
    const names = bind(agents);
    found.push(`(m.agent = any(${names}::text[])
      or m.composer_id in (select id from principals where kind = 'agent' and name = any(${names}::text[])))`);
  }
  if (modes.length > 0) found.push(`m.effective_mode = any(${bind(modes)}::text[])`);
  if (from.length > 0)
    found.push(`lower(m.reverse_path) like any(${bind(from.map(asAddressPattern))}::text[])`);
  if (to.length > 0)
    found.push(`exists (select from unnest(m.forward_paths) path
      where lower(path) like any(${bind(to.map(asAddressPattern))}::text[]))`);
  return found;
}

/** The same of a message that retention has removed: `a` is the event of its acceptance, which keeps who and to whom. */
export function ofRemoved(filter: AuditFilter, bind: Bind): string[] {
  const found: string[] = [];
  const { agents = [], modes = [], tags = [], from = [], to = [] } = filter;
  if (tags.length > 0) found.push(anyTag(`coalesce(a.metadata -> 'tags', '{}')`, tags, bind));
  if (agents.length > 0) found.push(`a.metadata ->> 'agent' = any(${bind(agents)}::text[])`);
  if (modes.length > 0)
    found.push(`exists (select from audit_events v where v.resource_id = a.resource_id
      and v.metadata ->> 'effective_mode' = any(${bind(modes)}::text[]))`);
  if (from.length > 0)
    found.push(`lower(a.metadata ->> 'from') like any(${bind(from.map(asAddressPattern))}::text[])`);
  if (to.length > 0)
    found.push(`jsonb_typeof(a.metadata -> 'to') = 'array'
      and exists (select from jsonb_array_elements_text(a.metadata -> 'to') path
        where lower(path) like any(${bind(to.map(asAddressPattern))}::text[]))`);
  return found;
}

function anyTag(tags: string, wanted: NonNullable<AuditFilter['tags']>, bind: Bind): string {
  const keys = wanted.filter(({ value }) => value === null).map(({ key }) => key);
  const pairs = wanted.filter(({ value }) => value !== null);
  const any = [
    ...(keys.length > 0 ? [`${tags} ?| ${bind(keys)}::text[]`] : []),
    // The first half is what the index knows.
    ...pairs.map(
      ({ key, value }) => `(${tags} ? ${bind(key)} and ${tags} ->> ${bind(key)} = ${bind(value)})`,
    ),
  ];
  return `(${any.join(' or ')})`;
}

/** A LIKE pattern that means exactly the text, or everything that begins with it where it ends in `*`. */
function asPattern(text: string): string {
  return text.endsWith('*') ? `${literally(text.slice(0, -1))}%` : literally(text);
}

function asAddressPattern(text: string): string {
  const lower = text.toLowerCase();
  return lower.startsWith('*@') ? `%${literally(lower.slice(1))}` : literally(lower);
}

function literally(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
