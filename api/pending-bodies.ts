/** The text of mail for those who decide on it. */
import PostalMime from 'postal-mime';
import type { Runtime } from '../core/runtime/runtime.ts';
import { readContents } from '../core/store/contents.ts';

interface Waiting {
  id: string;
  contentId: string;
  size: number;
}

/** Larger mail is looked at one by one, in its raw form. */
const READ_BYTES = 1 << 20;

/** The texts of messages by their ids. */
export async function textsOf(
  messages: Waiting[],
  { database }: Pick<Runtime, 'database'>,
): Promise<Map<string, string>> {
  const small = messages.filter(({ size }) => size <= READ_BYTES);
  const contents = await readContents(
    database.pool,
    small.map(({ contentId }) => contentId),
  );
  const texts = new Map<string, string>();
  for (const { id, contentId } of small) {
    const bytes = contents.get(contentId);
    if (bytes !== undefined) texts.set(id, await textOf(bytes));
  }
  return texts;
}

async function textOf(bytes: Buffer): Promise<string> {
  try {
    const { text, html } = await PostalMime.parse(bytes, { maxNestingDepth: 30 });
    return text ?? html ?? '';
  } catch {
    return '';
  }
}
