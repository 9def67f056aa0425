/**
 * The text of messages. Of large mail only the text is read from the store: where it lies was noted at the door.
 * Whoever shows what comes from here takes care where: api.md 0.3 allows it in two places.
 */
import type { Draft } from '../../core/compose/draft.ts';
import { parseHeaders } from '../../core/mail/headers.ts';
import { readStructure, type Structure, type TextPart } from '../../core/mail/structure.ts';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { readComposition } from '../../core/store/compositions.ts';
import { readLargeContent, readSlice } from '../../core/store/contents.ts';
import type { Db } from '../../core/store/database.ts';
import { textOfPart } from './text-of-part.ts';

export interface WithContent {
  contentId: string;
  size: number;
  facts: unknown;
}

/** So much of a message's text is told; encoded, all parts together. */
export const TEXT_BYTES = 1 << 20;
/** Mail that is one text, with a header of the longest kind. */
const PLAIN_BYTES = TEXT_BYTES + 262_144;
const TEXTS = 20;

/** The text of one message; empty when it has none, or when its bytes have been removed. */
export async function bodyOf(message: WithContent, { database }: Pick<Runtime, 'database'>): Promise<string> {
  const db = database.pool;
  const known = structureIn(message.facts);
  if (known !== undefined) {
    const slice = (part: TextPart, length: number) =>
      readSlice(db, message.contentId, message.size - part.from, length);
    return textOf(known.texts, slice);
  }
  const { raw, structure } = await readWhole(db, message);
  const slice = async (part: TextPart, length: number) =>
    raw.subarray(raw.length - part.from, raw.length - part.from + length);
  return textOf(structure.texts, slice);
}

/** The text of one message as whoever wrote it gave it to us, without the footer; of other mail the same as `bodyOf`. */
export async function markdownOf(
  message: WithContent & { id: string; source: string },
  runtime: Pick<Runtime, 'database'>,
): Promise<string> {
  const composed =
    message.source === 'rest' ? await readComposition(runtime.database.pool, message.id) : undefined;
  const { markdown } = (composed?.draft ?? {}) as Partial<Draft>;
  return markdown ?? bodyOf(message, runtime);
}

/** Texts of several messages by their ids, a few at a time. */
export async function bodiesOf(
  messages: readonly (WithContent & { id: string })[],
  runtime: Pick<Runtime, 'database'>,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (let i = 0; i < messages.length; i += 4)
    await Promise.all(
      messages.slice(i, i + 4).map(async (message) => texts.set(message.id, await bodyOf(message, runtime))),
    );
  return texts;
}

/** The message with its files among its facts, also when it was stored before they were noted at the door. */
export async function withStructure<T extends WithContent>(message: T, db: Db): Promise<T> {
  const { contentType = null } = (message.facts ?? {}) as { contentType?: string | null };
  if (structureIn(message.facts) !== undefined || contentType === null || contentType.startsWith('text/'))
    return message;
  const { structure } = await readWhole(db, message);
  return { ...message, facts: { ...(message.facts as object), ...structure } };
}

/** Where the files of a message lie; worked out now for mail that was stored before this was noted. */
export async function structureOf(message: WithContent, db: Db): Promise<Structure> {
  return structureIn(message.facts) ?? (await readWhole(db, message)).structure;
}

function structureIn(facts: unknown): Structure | undefined {
  const { attachments = [], texts = [] } = (facts ?? {}) as Partial<Structure>;
  return attachments.length + texts.length > 0 ? { attachments, texts } : undefined;
}

async function readWhole(
  db: Db,
  { contentId, size, facts }: WithContent,
): Promise<{ raw: Buffer; structure: Structure }> {
  const { contentType = null } = (facts ?? {}) as { contentType?: string | null };
  const isText = contentType === null || contentType.startsWith('text/');
  const raw =
    isText || size <= PLAIN_BYTES
      ? await readSlice(db, contentId, 0, PLAIN_BYTES)
      : await readLargeContent(db, contentId, size);
  const bytes = raw ?? Buffer.alloc(0);
  return { raw: bytes, structure: readStructure(bytes, parseHeaders(bytes)) };
}

type Slice = (part: TextPart, length: number) => Promise<Buffer | undefined>;

async function textOf(parts: readonly TextPart[], slice: Slice): Promise<string> {
  const told: string[] = [];
  let left = TEXT_BYTES;
  for (const choices of groupsOf(parts.slice(0, TEXTS))) {
    for (const part of choices) {
      const length = Math.min(left, part.from - part.to);
      const body = length > 0 ? await slice(part, length) : undefined;
      if (body === undefined) continue;
      left -= length;
      const text = await textOfPart(part, body);
      if (text.trim() === '') continue;
      told.push(text);
      break;
    }
  }
  return told.join('\n\n');
}

/** The texts in their order; of those that say the same the plain one is tried first. */
function groupsOf(parts: readonly TextPart[]): TextPart[][] {
  const groups: TextPart[][] = [];
  const known = new Map<number, TextPart[]>();
  for (const part of parts) {
    const group = part.group === undefined ? undefined : known.get(part.group);
    if (group !== undefined) group.push(part);
    else {
      const begun = [part];
      groups.push(begun);
      if (part.group !== undefined) known.set(part.group, begun);
    }
  }
  return groups.map((group) => group.toSorted((a, b) => b.type.localeCompare(a.type)));
}
