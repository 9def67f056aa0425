/** The one list that holds the text of mail: its callers have no second request by which they could ask for it. */
import { type MessageRecord, readMessage } from '../../core/store/messages.ts';
import type { Call } from '../operation.ts';
import { bodiesOf } from '../reading/bodies.ts';
import { isUnopened } from '../reading/seen.ts';
import type { Given } from './fields.ts';

/** The items of a list of mail with the text of each; marks nothing as read. What waits for a reviewer has none. */
export async function inboxWithBodies(body: Given, _given: Given, call: Call): Promise<Given> {
  const emails = body.emails as { id: string }[];
  const messages: MessageRecord[] = [];
  for (const { id } of emails) {
    const message = await readMessage(call.runtime.database.pool, id, call.caller.onlyMailbox);
    if (message !== undefined && !isUnopened(message, call)) messages.push(message);
  }
  const texts = await bodiesOf(messages, call.runtime);
  return { ...body, emails: emails.map((email) => ({ ...email, body: texts.get(email.id) ?? '' })) };
}
