/** Files of messages: as bytes, as links, and for those who can take neither, as text. */
import { z } from 'zod';
import { anyId } from '../input/kinds.ts';
import { type Call, operation } from '../operation.ts';
import {
  contentOf,
  contentTypeOf,
  download,
  type FileOfMail,
  fileLinked,
  fileNamed,
  LINK_SECONDS,
  linkTo,
} from '../reading/attachments.ts';
import { refuseHeldInbound, seenIn } from '../reading/seen.ts';
import { mailboxId } from './emails.ts';

const Named = z.object({
  mailbox_id: mailboxId,
  email_id: anyId,
  filename: z.string().min(1).max(255).describe('As listed in attachments'),
});

async function named(
  { mailbox_id, email_id, filename }: z.output<typeof Named>,
  call: Call,
): Promise<FileOfMail> {
  const message = await seenIn(mailbox_id, email_id, call);
  refuseHeldInbound(message, call);
  return fileNamed(message, filename, call.runtime.database.pool);
}

const PATH = '/v1/mailboxes/:mailbox_id/emails/:email_id/attachments/:filename';
const ANY_TYPE = ['application/octet-stream'];

export const getAttachment = operation({
  name: 'get_attachment',
  summary: 'The bytes of an attachment',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: PATH,
  input: Named,
  output: 'raw',
  media: ANY_TYPE,
  async handle(input, call) {
    return download(await named(input, call), call.runtime.database.pool);
  },
});

export const getAttachmentUrl = operation({
  name: 'get_attachment_url',
  summary: 'A link to an attachment that needs no key and lives for an hour',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: `${PATH}/url`,
  input: Named,
  output: z.object({
    url: z.string(),
    filename: z.string(),
    size_bytes: z.number().int(),
    content_type: z.string(),
    expires_in: z.number().int(),
  }),
  async handle(input, call) {
    const file = await named(input, call);
    return {
      url: await linkTo(file, call),
      filename: file.part.name,
      size_bytes: file.part.size,
      content_type: file.part.type,
      expires_in: LINK_SECONDS,
    };
  },
});

export const getLinkedAttachment = operation({
  name: 'get_linked_attachment',
  summary: 'The bytes of an attachment, by a link that was given out for it',
  area: 'emails',
  access: 'none',
  method: 'GET',
  path: '/v1/attachments/:token',
  input: z.object({ token: z.string().max(200) }),
  output: 'raw',
  media: ANY_TYPE,
  async handle({ token }, { runtime }) {
    return download(await fileLinked(token, runtime.database.pool), runtime.database.pool);
  },
});

/** Larger files are linked to: in a model's context they would displace all else. */
const INLINE_BYTES = 50_000;

export const downloadAttachment = operation({
  name: 'download_attachment',
  summary: 'A small attachment itself in base64, a large one as a link',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/download_attachment',
  input: Named,
  output: z.object({
    filename: z.string(),
    content_type: z.string(),
    size_bytes: z.number().int(),
    content_base64: z.string().optional(),
    download_url: z.string().optional(),
    expires_in_seconds: z.number().int().optional(),
    note: z.string().optional(),
  }),
  tool: {
    description: `Gets an attachment of a message: up to ${INLINE_BYTES} bytes in base64, beyond that as a link that lives for an hour.`,
    takes: ['email_id', 'filename'],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(input, call) {
    const file = await named(input, call);
    const about = {
      filename: file.part.name,
      content_type: contentTypeOf(file.part),
      size_bytes: file.part.size,
    };
    if (file.part.size > INLINE_BYTES)
      return {
        ...about,
        download_url: await linkTo(file, call),
        expires_in_seconds: LINK_SECONDS,
        note: 'The file is too large to be given here. The link needs no key: show it to nobody who may not have the file.',
      };
    const pieces: Buffer[] = [];
    for await (const piece of contentOf(file, call.runtime.database.pool)) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    return { ...about, size_bytes: bytes.length, content_base64: bytes.toString('base64') };
  },
});

export const attachmentOperations = [
  getAttachment,
  getAttachmentUrl,
  getLinkedAttachment,
  downloadAttachment,
];
