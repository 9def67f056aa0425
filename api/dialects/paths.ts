/**
 * Further paths of the operations, as clients of different kinds call them: by the tool's name, without a mailbox
 * in the path, in the words of an automation platform. Each is a line here and nothing else; fields.ts translates
 * the members, mailbox.ts finds the mailbox.
 */
import type { Call, Operation } from '../operation.ts';
import { conflict, filled, type Given } from './fields.ts';
import type { Method } from './hosted.ts';
import { inboxWithBodies } from './inbox.ts';

export interface Dialect {
  method: Method;
  path: string;
  /** Name of the operation. */
  operation: string;
  /** What the path takes for granted where the caller says nothing. */
  defaults?: (given: Given) => Given;
  /** What the answer is called or has beside it here. */
  answer?: (body: Given, given: Given, call: Call) => Given | Promise<Given>;
}

/** A tool's path is read like its operation where it changes nothing, and besides where reading marks as read. */
const ALSO_BY_GET = new Set(['read_email']);

/** Lists of mail that have their items under `messages` too where they are called by the tool's name. */
const MAIL_LISTS = new Set(['check_inbox', 'list_spam']);
const asMessages = (body: Given): Given => ({ ...body, messages: body.emails });

/** The list to look for one's own mail in from the moment it was accepted. */
const withQueue = (given: Given): Given => ({ include: 'queue', ...given });

/** The paths by tool names, of every operation that is a tool. */
export function toolPaths(operations: readonly Operation[]): Dialect[] {
  return operations
    .filter(({ tool }) => tool !== undefined)
    .flatMap(({ name, tool }) => {
      const reads = tool!.hints.includes('readOnly') || ALSO_BY_GET.has(name);
      const methods: Method[] = reads ? ['GET', 'POST'] : ['POST'];
      return methods.map((method) => toolPath(method, name));
    });
}

function toolPath(method: Method, name: string): Dialect {
  return {
    method,
    path: `/v1/${name}`,
    operation: name,
    ...(MAIL_LISTS.has(name) && { answer: asMessages }),
    ...(name === 'list_pending' && { defaults: withQueue }),
  };
}

const MAILBOX = '/v1/mailboxes/:mailbox_id';
const EMAIL = '/v1/emails/:email_id';
const REVIEW = '/v1/oversight/emails/:email_id';

/** An inbox is what came in, unless its caller asks for a status, which says for itself what it is of. */
const inbox = (given: Given): Given => ({
  limit: 25,
  ...(given.status === undefined && { direction: 'inbound' }),
  ...given,
});

const tagList = (body: Given, given: Given): Given => ({
  id: given.email_id,
  tags: Object.keys((body.tags ?? {}) as Given),
});

/** A form's fields; a letter may have no subject and no text. */
const form = (given: Given): Given => filled(given, 'subject', 'body', 'markdown');

/** Tags as one text with commas between. */
const splitTags = (given: Given): Given =>
  typeof given.tags === 'string'
    ? {
        ...given,
        tags: given.tags
          .split(',')
          .map((tag) => tag.trim())
          .filter((tag) => tag !== ''),
      }
    : given;

/** The path itself says what is decided. */
const deciding =
  (action: 'approve' | 'reject') =>
  (given: Given): Given => {
    if (given.action !== undefined && given.action !== action) throw conflict('action');
    return { ...given, action };
  };

export const DIALECTS: readonly Dialect[] = [
  // Sending, without the mailbox in the path.
  { method: 'POST', path: '/v1/send', operation: 'send_email' },
  { method: 'POST', path: '/v1/emails/send', operation: 'send_email', defaults: form },
  { method: 'POST', path: `${EMAIL}/reply`, operation: 'reply_email', defaults: form },
  { method: 'POST', path: `${MAILBOX}/emails/:email_id/reply`, operation: 'reply_email' },

  // Reading.
  {
    method: 'GET',
    path: '/v1/emails/inbox',
    operation: 'check_inbox',
    defaults: inbox,
    answer: inboxWithBodies,
  },
  { method: 'GET', path: EMAIL, operation: 'read_email' },
  { method: 'PATCH', path: EMAIL, operation: 'update_email' },
  { method: 'GET', path: '/v1/emails/thread/:thread_id', operation: 'get_thread' },
  { method: 'GET', path: '/v1/threads/:thread_id', operation: 'get_thread' },
  { method: 'POST', path: `${EMAIL}/tag`, operation: 'set_tags', defaults: splitTags, answer: tagList },
  { method: 'GET', path: `${EMAIL}/tags`, operation: 'get_tags' },
  { method: 'PUT', path: `${EMAIL}/tags`, operation: 'set_tags' },
  { method: 'DELETE', path: `${EMAIL}/tags/:key`, operation: 'delete_tag' },

  // Taking back and putting off.
  { method: 'POST', path: `${EMAIL}/cancel`, operation: 'cancel_message' },
  { method: 'PATCH', path: `${EMAIL}/schedule`, operation: 'edit_scheduled_email' },

  // Deciding.
  { method: 'GET', path: '/v1/emails/pending', operation: 'list_pending' },
  { method: 'POST', path: `${EMAIL}/decide`, operation: 'decide_email', defaults: form },
  { method: 'POST', path: `${REVIEW}/approve`, operation: 'decide_email', defaults: deciding('approve') },
  { method: 'POST', path: `${REVIEW}/reject`, operation: 'decide_email', defaults: deciding('reject') },
];
