/** Names that tools once had, and what they mean now; and those that are not kept, with what to use instead. */
import { z } from 'zod';
import { Problem } from '../problem.ts';

export interface Meant {
  name: string;
  given: Record<string, unknown>;
}

type Given = Record<string, unknown>;

const text = z.string();
const mailbox_id = text.optional();
const email_id = text;

/** Read strictly, as every tool's input is; the tool that is meant then checks the values. */
function older<S extends z.ZodRawShape>(shape: S, meant: (given: z.output<z.ZodObject<S>>) => Meant) {
  const schema = z.strictObject(shape);
  return (given: Given): Meant => {
    const parsed = schema.safeParse(given);
    if (parsed.success) return meant(parsed.data as z.output<z.ZodObject<S>>);
    const issue = parsed.error.issues[0]!;
    const field = issue.code === 'unrecognized_keys' ? issue.keys[0]! : issue.path.join('.');
    if (issue.code === 'unrecognized_keys')
      throw new Problem(422, 'unknown_field', `${field}: is no input of this tool`, { field });
    const missing = given[field] === undefined;
    throw new Problem(400, missing ? 'missing_field' : 'invalid_field', `${field}: ${issue.message}`, {
      field,
    });
  };
}

const same =
  (name: string, more: Given = {}) =>
  (given: Given): Meant => ({ name, given: { ...given, ...more } });

const tagEmail = older(
  {
    email_id,
    action: z.enum(['set', 'get', 'delete']),
    tags: z.record(text, text).optional(),
    key: text.optional(),
    mailbox_id,
  },
  ({ action, tags, key, ...rest }) => {
    if (action === 'get') return { name: 'get_tags', given: rest };
    if (action === 'delete') return { name: 'delete_tag', given: { ...rest, key } };
    return { name: 'set_tags', given: { ...rest, tags } };
  },
);

export const OLDER: ReadonlyMap<string, (given: Given) => Meant> = new Map([
  ['tag_email', tagEmail],
  [
    'request_upgrade',
    older({ target_mode: text, mailbox_id }, same('manage_upgrade', { action: 'request' })),
  ],
  ['apply_upgrade', older({ code: text, mailbox_id }, same('manage_upgrade', { action: 'apply' }))],
  ['report_spam', older({ email_id }, same('manage_spam_status', { action: 'report' }))],
  ['not_spam', older({ email_id }, same('manage_spam_status', { action: 'clear' }))],
  [
    'check_suppression',
    older({ limit: z.number().optional(), cursor: text.optional() }, same('list_suppression')),
  ],
  [
    'schedule_email',
    older(
      {
        to: z.array(text),
        subject: text,
        markdown: text,
        send_at: text,
        cc: z.array(text).optional(),
        bcc: z.array(text).optional(),
        attachments: z.array(z.unknown()).optional(),
        gate_timing: text.optional(),
        idempotency_key: text.optional(),
        mailbox_id,
      },
      same('send_email'),
    ),
  ],
]);

export const NOT_OFFERED: ReadonlyMap<string, string> = new Map([
  ['manage_allowlist', 'list_allowlist, add_allowlist_entry or remove_allowlist_entry'],
  ['get_allowlist_status', 'list_allowlist'],
  ['set_allowlist_mode', 'add_allowlist_entry or remove_allowlist_entry: the entries are always in force'],
  ['manage_contacts', 'search_contacts, add_contact or delete_contact'],
  ['manage_suppression', 'list_suppression or remove_suppression'],
  ['manage_webhooks', 'list_webhooks, create_webhook or delete_webhook'],
  ['search_identity', 'search_contacts for people, or get_account for this account'],
  ['tag_email', 'set_tags, get_tags or delete_tag'],
  ['request_upgrade', 'manage_upgrade with the action request'],
  ['apply_upgrade', 'manage_upgrade with the action apply'],
  ['report_spam', 'manage_spam_status with the action report'],
  ['not_spam', 'manage_spam_status with the action clear'],
  ['check_suppression', 'list_suppression'],
  ['schedule_email', 'send_email with send_at'],
]);
