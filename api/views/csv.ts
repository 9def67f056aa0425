/** Audit entries as CSV (RFC 4180) that a spreadsheet may open: no cell is a formula. */

export interface Row {
  id: string;
  created_at: string;
  action: string;
  resource_type: string;
  resource_id: string;
  mailbox_id: string | null;
  actor: { type: string; id: string | null; name: string };
  from_state: string | null;
  to_state: string | null;
  metadata: Record<string, unknown> | null;
}

/** What the metadata of our events holds, by dotted name; what else it holds goes into the last column as JSON. */
const METADATA = [
  'message_id',
  'mailbox_id',
  'agent',
  'from',
  'to',
  'subject_hash',
  'requested_mode',
  'effective_mode',
  'approval_required',
  'approval.by',
  'approval.at',
  'approval.decision',
  'approval.reason',
  'approval.content_hash',
  'delivery_status',
  'tags',
  'policy_hash',
  'kind',
  'direction',
  'source',
  'content_digest',
  'attempt',
  'route',
  'next_hop',
  'reply',
];

const COLUMNS: [string, (row: Row) => unknown][] = [
  ['id', (row) => row.id],
  ['created_at', (row) => row.created_at],
  ['action', (row) => row.action],
  ['resource_type', (row) => row.resource_type],
  ['resource_id', (row) => row.resource_id],
  ['mailbox_id', (row) => row.mailbox_id],
  ['actor.type', (row) => row.actor.type],
  ['actor.id', (row) => row.actor.id],
  ['actor.name', (row) => row.actor.name],
  ['from_state', (row) => row.from_state],
  ['to_state', (row) => row.to_state],
  ...METADATA.map((name): [string, (row: Row) => unknown] => [
    `metadata.${name}`,
    (row) => at(row.metadata ?? {}, name),
  ]),
  ['metadata', (row) => JSON.stringify(row.metadata)],
];

export const CSV_HEADER = `${COLUMNS.map(([name]) => name).join(',')}\r\n`;

export function csvLine(row: Row): string {
  return `${COLUMNS.map(([, value]) => cell(value(row))).join(',')}\r\n`;
}

/** A cell that begins like a formula is led by an apostrophe, which makes it text. */
export function cell(value: unknown): string {
  const text = value == null ? '' : Array.isArray(value) ? value.join(' ') : String(value);
  const safe = /^\s*[=+\-@＝＋－＠]/.test(text) || /^[\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function at(metadata: Record<string, unknown>, dotted: string): unknown {
  const value = dotted
    .split('.')
    .reduce<unknown>(
      (node, name) =>
        typeof node === 'object' && node !== null ? (node as Record<string, unknown>)[name] : undefined,
      metadata,
    );
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? JSON.stringify(value) : value;
}
