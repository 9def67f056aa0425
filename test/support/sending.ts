/** A program that sends over REST, each from a mailbox of its own. */
import type { Mode } from '../../core/mail/mode.ts';
import type { TestApi } from './api.ts';

let count = 0;

/** A mailbox, and a way to send from it; `url` names another process than the test's own. */
export async function newSender(api: TestApi, mode: Mode = 'monitored') {
  count += 1;
  const mailbox = await api.mailbox(`sender${count}@ours.example`, mode);
  const send = (fields: object = {}, headers: Record<string, string> = {}, url: string = api.url) =>
    post(
      `${url}/v1/mailboxes/${mailbox.id}/send`,
      { to: ['ana@remote.example'], subject: 'Hello', markdown: 'It is done.', ...fields },
      { authorization: `Bearer ${api.keys.agent}`, ...headers },
    );
  const cancel = (id: string) =>
    post(
      `${api.url}/v1/mailboxes/${mailbox.id}/emails/${id}/cancel`,
      {},
      { authorization: `Bearer ${api.keys.agent}` },
    );
  return { ...mailbox, send, cancel };
}

async function post(url: string, fields: object, headers: Record<string, string>) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(fields),
  });
  // biome-ignore lint/suspicious/noExplicitAny: replies are looked into as JSON, and compared
  return { status: response.status, headers: response.headers, json: (await response.json()) as any };
}

export async function rowsOf(api: TestApi, text: string, values: unknown[]) {
  return (await api.runtime.database.pool.query(text, values)).rows;
}

/** How many messages a mailbox has. */
export async function countOf(api: TestApi, mailboxId: string): Promise<number> {
  const [row] = await rowsOf(
    api,
    "select count(*)::int as n from messages where mailbox_id = $1 and kind <> 'copy'",
    [mailboxId],
  );
  return row.n;
}
