/** Files that came with mail: found by name, read from where they lie, and linked to for an hour. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AttachmentPart } from '../../core/mail/structure.ts';
import { decoded } from '../../core/mail/transfer-decoder.ts';
import { readAccount } from '../../core/store/account.ts';
import { readSlice } from '../../core/store/contents.ts';
import type { Db } from '../../core/store/database.ts';
import { type MessageRecord, readMessage } from '../../core/store/messages.ts';
import type { Call } from '../operation.ts';
import { Raw } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { structureOf } from './bodies.ts';

export interface FileOfMail {
  message: MessageRecord;
  part: AttachmentPart;
  /** Its place among the files of the message. */
  place: number;
}

export const LINK_SECONDS = 3600;
const SLICE = 1 << 20;

/** The file of this name. */
export async function fileNamed(message: MessageRecord, name: string, db: Db): Promise<FileOfMail> {
  const { attachments } = await structureOf(message, db);
  const place = attachments.findIndex((part) => part.name === name);
  if (place === -1) throw notFound('This message has no attachment of that name.');
  return { message, part: attachments[place]!, place };
}

/** Its bytes, decoded while they are read. */
export function contentOf({ message, part }: FileOfMail, db: Db): AsyncIterable<Buffer> {
  return decoded(slices(message, part, db), part.encoding);
}

async function* slices(message: MessageRecord, part: AttachmentPart, db: Db): AsyncIterable<Buffer> {
  const end = message.size - part.to;
  for (let at = message.size - part.from; at < end; at += SLICE) {
    const slice = await readSlice(db, message.contentId, at, Math.min(SLICE, end - at));
    if (slice === undefined) throw notFound('The bytes of this message have been removed.');
    yield slice;
  }
}

export function contentTypeOf({ type, charset }: AttachmentPart): string {
  return charset === undefined ? type : `${type}; charset=${charset}`;
}

/** As a download that no browser takes for a page of ours. */
export function download(file: FileOfMail, db: Db): Raw {
  const { name } = file.part;
  const ascii = name.replace(/[^ !#-[\]-~]/g, '_');
  const utf8 = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return new Raw(contentOf(file, db), {
    'content-type': contentTypeOf(file.part),
    'content-disposition': `attachment; filename="${ascii}"; filename*=UTF-8''${utf8}`,
    'content-security-policy': 'sandbox',
    'x-content-type-options': 'nosniff',
  });
}

/**
 * A link by which the file can be had without a key, for an hour. It is bound to the bytes: when the message is
 * edited it leads nowhere.
 */
export async function linkTo(file: FileOfMail, { runtime, baseUrl }: Call): Promise<string> {
  const until = Math.floor(Date.now() / 1000) + LINK_SECONDS;
  const { secret } = await readAccount(runtime.database.pool);
  const signature = signed(secret, file.message, file.place, until);
  return `${baseUrl}/v1/attachments/${file.message.id}.${file.place}.${until}.${signature.toString('base64url')}`;
}

function signed(secret: Buffer, { id, contentId }: MessageRecord, place: number, until: number): Buffer {
  return createHmac('sha256', secret)
    .update(`attachment link\n${id}\n${contentId}\n${place}\n${until}`)
    .digest();
}

const TOKEN = /^([0-9A-Z]{26})\.(\d{1,4})\.(\d{1,12})\.([A-Za-z0-9_-]{43})$/;

/** The file a link leads to; 403 for a link that has ended or was not made here. */
export async function fileLinked(token: string, db: Db): Promise<FileOfMail> {
  const bad = new Problem(403, 'invalid_code', 'This link has expired, or was not made here.');
  const [, id, place, until, signature] = TOKEN.exec(token) ?? [];
  if (id === undefined || Number(until) < Date.now() / 1000) throw bad;
  const message = await readMessage(db, id, null);
  const { secret } = await readAccount(db);
  if (message === undefined) throw bad;
  const right = signed(secret, message, Number(place), Number(until));
  if (!timingSafeEqual(right, Buffer.from(signature!, 'base64url'))) throw bad;
  if (message.state === 'held' && message.direction === 'inbound')
    throw new Problem(403, 'held_for_approval', 'This message waits for a reviewer and cannot be read yet.');
  const part = (await structureOf(message, db)).attachments[Number(place)];
  if (part === undefined) throw bad;
  return { message, part, place: Number(place) };
}
