/** The capture box: outgoing mail that was kept here instead of being sent. */
import { z } from 'zod';
import {
  type CaptureFacts,
  emptyCaptures,
  listCaptures,
  readCapture,
  readCapturedBytes,
  type Viewer,
} from '../../core/store/capture-box.ts';
import { afterCursor, cursorOf } from '../input/cursor.ts';
import { anyId, idOf, limit } from '../input/kinds.ts';
import { type Caller, operation } from '../operation.ts';
import { notFound } from '../problem.ts';
import { rawMail } from './emails.ts';

const Capture = z.object({
  id: z.string(),
  message_id: z.string(),
  kind: z.string().nullable().describe('mail, copy, dsn or notice'),
  about_id: z.string().nullable().describe('Of a copy, report or notice: the message it speaks of'),
  mailbox_id: z.string().nullable(),
  reverse_path: z.string(),
  forward_paths: z.array(z.string()),
  subject: z.string(),
  size: z.number().nullable(),
  captured_at: z.string(),
});

function captureView(one: CaptureFacts): z.input<typeof Capture> {
  return {
    id: one.id,
    message_id: one.messageId,
    kind: one.kind,
    about_id: one.aboutId,
    mailbox_id: one.mailboxId,
    reverse_path: one.reversePath,
    forward_paths: one.forwardPaths,
    subject: one.subject,
    size: one.size,
    captured_at: one.capturedAt.toISOString(),
  };
}

/** Codes that Postern mails are shown to keys of people, not to those of the programs that are asked for them. */
function viewerOf({ key, onlyMailbox }: Caller): Viewer {
  return { onlyMailbox, overseer: key.scopes.includes('admin') || key.scopes.includes('oversight') };
}

export const listCaptured = operation({
  name: 'list_captures',
  summary: 'Mail in the capture box, newest first',
  area: 'capture',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/capture',
  input: z.object({
    message_id: anyId.optional(),
    to: z.string().max(320).optional().describe('A recipient'),
    limit: limit(20, 100),
    cursor: z.string().optional(),
  }),
  output: z.object({ captures: z.array(Capture), cursor: z.string().nullable() }),
  async handle(input, { runtime, caller }) {
    const { captures, more } = await listCaptures(runtime.database.pool, {
      ...viewerOf(caller),
      messageId: input.message_id ?? null,
      to: input.to ?? null,
      afterId: afterCursor(input.cursor),
      limit: input.limit,
    });
    return { captures: captures.map(captureView), cursor: more ? cursorOf(captures.at(-1)!.id) : null };
  },
});

export const showCaptured = operation({
  name: 'get_capture',
  summary: 'One captured message: its envelope',
  area: 'capture',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/capture/:id',
  input: z.object({ id: anyId }),
  output: Capture,
  async handle({ id }, { runtime, caller }) {
    const found = await readCapture(runtime.database.pool, idOf(id, 'captured message'), viewerOf(caller));
    if (found === undefined) throw notFound('There is no such captured message.');
    return captureView(found);
  },
});

export const rawCaptured = operation({
  name: 'raw_capture',
  summary: 'One captured message: the bytes a next hop would have got',
  area: 'capture',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/capture/:id/raw',
  input: z.object({ id: anyId }),
  output: 'raw',
  media: ['message/rfc822'],
  async handle({ id }, { runtime, caller }) {
    const bytes = await readCapturedBytes(
      runtime.database.pool,
      idOf(id, 'captured message'),
      viewerOf(caller),
    );
    if (bytes === undefined) throw notFound('There is no such captured message.');
    return rawMail(bytes, id);
  },
});

export const emptyCaptureBox = operation({
  name: 'empty_captures',
  summary: 'Empty the capture box',
  area: 'capture',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/capture',
  input: z.object({}),
  output: z.object({ status: z.literal('emptied'), count: z.number() }),
  async handle(_, { runtime, caller }) {
    return { status: 'emptied' as const, count: await emptyCaptures(runtime.database.pool, caller.actor) };
  },
});

export const captureOperations = [listCaptured, showCaptured, rawCaptured, emptyCaptureBox];
