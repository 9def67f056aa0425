/** Answers: to whom, under which subject and in which thread follows from the message that is answered. */
import { z } from 'zod';
import { readOriginal } from '../../core/store/senders.ts';
import { anyId, idOf } from '../input/kinds.ts';
import { operation } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { answering } from '../sending/answering.ts';
import { AlreadySentBody, SentBody } from '../sending/replies.ts';
import { submit } from '../sending/submit.ts';
import { namedMailbox } from './mailboxes.ts';
import { commonOrder, SENDING } from './send.ts';

export const replyEmail = operation({
  name: 'reply_email',
  summary: 'Answer a message; recipients, subject and thread follow from it',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/mailboxes/:mailbox_id/reply/:email_id',
  status: 202,
  strict: true,
  large: true,
  repeats: 'own',
  input: z.object({ ...SENDING, email_id: anyId }),
  output: SentBody,
  also: { 200: AlreadySentBody },
  tool: {
    description:
      'Answers a message in its thread: to its Reply-To or From, or, of a message of your own, to its recipients. Quote from it yourself where that helps. Like all mail it may need the approval of a person first.',
    takes: [
      'email_id',
      'markdown',
      'cc',
      'bcc',
      'attachments',
      'idempotency_key',
      'oversight_mode',
      'tags',
      'agent',
      'ucan',
    ],
    hints: [],
  },
  async handle(input, call) {
    const mailbox = await namedMailbox(input.mailbox_id, call);
    const id = idOf(input.email_id, 'message');
    const original = await readOriginal(call.runtime.database.pool, mailbox.id, id);
    if (original === undefined) throw notFound('There is no such message in this mailbox.');
    if (original.direction === 'inbound' && original.state !== 'available')
      throw new Problem(
        403,
        'held_for_approval',
        'This message has not been let in, so it cannot be answered yet.',
      );
    const { cc, ...rest } = answering(original);
    const order = commonOrder(input, call);
    return submit(
      {
        ...order,
        ...rest,
        cc: [...new Set([...cc, ...order.cc])],
        operation: 'reply_email',
        mailbox,
        replyTo: null,
        answers: id,
      },
      call,
    );
  },
});

export const replyOperations = [replyEmail];
