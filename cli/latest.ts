/** Ids are long. Where one is asked for, `latest` means the newest of the list it would be found in; of messages the
 * newest that somebody wrote, not what Postern reported about it. */
import { isId } from '../core/mail/id.ts';
import { Failure, misuse } from './output.ts';

export const ID_HELP = 'an id, or latest';

/** Reads an id as it was typed; asks `newest` only when it has to. */
export async function idOf(
  word: string,
  what: string,
  newest: () => Promise<string | undefined>,
): Promise<string> {
  if (word === 'latest') {
    const id = await newest();
    if (id === undefined) throw new Failure(`there is no ${what}`, { code: 'not_found' });
    return id;
  }
  const id = word.toUpperCase();
  if (!isId(id)) throw misuse(`${word.slice(0, 40)} is no id`, `expected 26 letters and digits, or "latest"`);
  return id;
}
