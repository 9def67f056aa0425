/** Tags of messages: words by which programs find mail again. */
import { z } from 'zod';
import { deleteTag, mergeTags } from '../../core/store/tags.ts';
import { anyId } from '../input/kinds.ts';
import { tags } from '../input/kinds-of-mail.ts';
import { type Call, operation } from '../operation.ts';
import { invalid } from '../problem.ts';
import { refuseHeldInbound, seenIn } from '../reading/seen.ts';
import { mailboxId } from './emails.ts';

const MOST = 64;

const InMailbox = z.object({ mailbox_id: mailboxId, email_id: anyId });
const Tags = z.object({ tags: z.record(z.string(), z.string()) });

/** The message, if the caller may know its tags. */
async function tagged({ mailbox_id, email_id }: z.output<typeof InMailbox>, call: Call) {
  const message = await seenIn(mailbox_id, email_id, call);
  refuseHeldInbound(message, call);
  return message;
}

export const getTags = operation({
  name: 'get_tags',
  summary: 'The tags of a message',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id/tags',
  input: InMailbox,
  output: Tags,
  tool: {
    description: 'Tells the tags of a message.',
    takes: ['email_id'],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(input, call) {
    return { tags: (await tagged(input, call)).tags };
  },
});

export const setTags = operation({
  name: 'set_tags',
  summary: 'Merge tags into those of a message',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'PUT',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id/tags',
  input: InMailbox.extend({ tags }),
  output: Tags,
  tool: {
    description:
      'Adds tags to a message, or gives tags it has another value. Others stay. Returns all it has then.',
    takes: ['email_id', 'tags'],
    hints: ['idempotent'],
  },
  async handle(input, call) {
    const message = await tagged(input, call);
    const { runtime, caller } = call;
    const after = await mergeTags(runtime.database.pool, message.id, input.tags, {
      most: MOST,
      actor: caller.actor,
    });
    if (after === null)
      throw invalid(400, 'invalid_field', [{ field: 'tags', message: `a message has at most ${MOST} tags` }]);
    return { tags: after };
  },
});

export const removeTag = operation({
  name: 'delete_tag',
  summary: 'Take one tag off a message',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'DELETE',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id/tags/:key',
  input: InMailbox.extend({ key: z.string().min(1).max(128) }),
  output: z.object({ deleted: z.boolean() }),
  tool: {
    description: 'Takes one tag off a message.',
    takes: ['email_id', 'key'],
    hints: ['destructive', 'idempotent'],
  },
  async handle(input, call) {
    const message = await tagged(input, call);
    const { runtime, caller } = call;
    return { deleted: await deleteTag(runtime.database.pool, message.id, input.key, caller.actor) };
  },
});

export const tagOperations = [getTags, setTags, removeTag];
