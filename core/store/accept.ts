import { type Batcher, batcher } from './batcher.ts';
import { type ContentCache, insertContents, packContents } from './contents.ts';
import type { Database, Db } from './database.ts';
import type { Lane } from './lane.ts';
import { insertMessages, type NewContent, type NewMessage, ROW_COLUMNS, toRow } from './new-message.ts';

/** One piece of mail at the door: its bytes once, and a message for each mailbox it concerns. */
export interface Arrival {
  content: NewContent;
  messages: NewMessage[];
}

const ACCEPT = `with input as (select * from json_to_recordset($1::json) as t(${ROW_COLUMNS})),
  ${insertContents('$2', '$3')},
  ${insertMessages('input')}
  select 1`;

/**
 * The door's group commit. What it resolves is on disk: bytes, messages, recipients and audit rows in one
 * transaction (RFC 5321 §6.1: only then may the client hear 250). A rejection means nothing is promised.
 */
export function accepting(
  database: Database,
  cache: ContentCache,
  onFlush?: (n: number) => void,
): Batcher<Arrival, void> {
  const lane = database.lane('accept');
  return batcher<Arrival, void>({
    max: 200,
    weigh: ({ content }) => content.bytes.length,
    ...(onFlush && { onFlush }),
    async run(arrivals) {
      await insert(lane, arrivals);
      for (const { content } of arrivals) cache.put(content.id, content.bytes);
      return arrivals.map(() => undefined);
    },
  });
}

/** The same in a transaction of the caller's, for what has to be written together with something else. */
export async function acceptWithin(db: Db, arrival: Arrival): Promise<void> {
  await insert(db, [arrival]);
}

async function insert(db: Db | Lane, arrivals: Arrival[]): Promise<void> {
  const messages = arrivals.flatMap((arrival) => arrival.messages);
  const [index, bytes] = packContents(arrivals.map(({ content }) => content));
  await db.query({
    name: 'accept',
    text: ACCEPT,
    values: [JSON.stringify(messages.map(toRow)), index, bytes],
  });
}
