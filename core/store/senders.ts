/** What has to be known of a mailbox, and of a message answered, when a program sends. One question each. */
import { mailboxKey } from '../mail/address.ts';
import { isId } from '../mail/id.ts';
import { COLUMNS, LIVING, type MailboxFacts } from './accounts.ts';
import { type Batcher, batcher } from './batcher.ts';
import type { Database, Db } from './database.ts';

export interface SenderFacts {
  autoCc: string | null;
  autoBcc: string | null;
  signatureBlock: string | null;
  schedulingEnabled: boolean;
  did: string | null;
  operatorName: string;
  physicalAddress: string | null;
  sendingDisabled: boolean;
  sendingDisabledReason: string | null;
}

/** The mailbox as a sender, with the account behind it. */
export async function readSender(db: Db, mailboxId: string): Promise<SenderFacts> {
  const { rows } = await db.query<SenderFacts>({
    name: 'read-sender',
    text: `select b.auto_cc as "autoCc", b.auto_bcc as "autoBcc", b.signature_block as "signatureBlock",
        b.scheduling_enabled as "schedulingEnabled", b.did, a.name as "operatorName",
        a.physical_address as "physicalAddress", a.sending_disabled or not a.is_active as "sendingDisabled",
        a.sending_disabled_reason as "sendingDisabledReason"
      from mailboxes b cross join account a where b.id = $1`,
    values: [mailboxId],
  });
  if (rows[0] === undefined) throw new Error('a sender without a mailbox or an account');
  return rows[0];
}

/** A mailbox with all that `readSender` tells of it. */
export type SendingMailbox = MailboxFacts & SenderFacts;

const opened = new WeakMap<Database, Batcher<string, SendingMailbox | undefined>>();

/**
 * A mailbox by its id or its whole address, as a sender. Programs name one in almost every request, so those that
 * are named while a look-up is under way are looked up together in the next one; no answer is kept.
 */
export function findSender(database: Database, idOrAddress: string): Promise<SendingMailbox | undefined> {
  let finding = opened.get(database);
  if (finding === undefined) {
    finding = openFinding(database);
    opened.set(database, finding);
  }
  return finding.add(idOrAddress);
}

function openFinding(database: Database): Batcher<string, SendingMailbox | undefined> {
  const lane = database.lane('senders');
  return batcher<string, SendingMailbox | undefined>({
    async run(named) {
      const keys = named.map((name) => (isId(name) ? name : mailboxKey(name)));
      const { rows } = await lane.query<SendingMailbox & { key: string }>({
        name: 'find-senders',
        text: `select ${COLUMNS}, did, account.*, address_key as key
          from mailboxes cross join (
            select name as "operatorName", physical_address as "physicalAddress",
                   sending_disabled or not is_active as "sendingDisabled",
                   sending_disabled_reason as "sendingDisabledReason"
              from account) account
         where (id = any($1::text[]) or address_key = any($2::text[])) and ${LIVING}`,
        values: [keys.filter((key) => isId(key)), keys.filter((key) => !isId(key))],
      });
      return keys.map((wanted) => {
        const found = rows.find(({ id, key }) => wanted === id || wanted === key);
        if (found === undefined) return undefined;
        const { key: _, ...facts } = found;
        return facts;
      });
    },
  });
}

/** Whether every address stands on the mailbox's allowlist, as the verdict will ask. */
export async function isAllowlisted(db: Db, mailboxId: string, forwardPaths: string[]): Promise<boolean> {
  const { rows } = await db.query<{ covered: boolean }>({
    name: 'is-allowlisted',
    text: 'select allowlist_covers($1, $2::text[]) as covered',
    values: [mailboxId, forwardPaths],
  });
  return rows[0]!.covered;
}

/** A message as whoever answers it has to know it. */
export interface Original {
  id: string;
  threadId: string;
  direction: 'inbound' | 'outbound';
  state: string;
  reversePath: string;
  forwardPaths: string[];
  subject: string;
  internetMessageId: string | null;
  facts: unknown;
}

/** A message of the mailbox; undefined when it has none of this id. */
export async function readOriginal(db: Db, mailboxId: string, id: string): Promise<Original | undefined> {
  const { rows } = await db.query<Original>({
    name: 'read-original',
    text: `select id, coalesce(thread_id, id) as "threadId", direction, state, reverse_path as "reversePath",
        forward_paths as "forwardPaths", subject, internet_message_id as "internetMessageId", facts
      from messages where id = $1 and mailbox_id = $2 and kind in ('mail', 'dsn')`,
    values: [id, mailboxId],
  });
  return rows[0];
}

/** How a message stands that a request's key, or its content, names already. */
export interface Standing {
  mailboxId: string;
  threadId: string;
  /** Hex. */
  digest: string;
  composerId: string | null;
  agent: string | null;
  statusReason: string | null;
  state: string;
  direction: 'inbound' | 'outbound';
  requestedMode: string | null;
  effectiveMode: string | null;
  mailboxMode: string;
  gateTiming: string;
  forwardPaths: string[];
  sendAt: Date | null;
  approved: boolean;
  recipients: { status: string }[];
}

/** What a repeated request is told about the message it stands for; undefined when that is gone. */
export async function readStanding(db: Db, id: string): Promise<Standing | undefined> {
  const { rows } = await db.query<Standing>({
    name: 'read-standing',
    text: `select m.mailbox_id as "mailboxId", coalesce(m.thread_id, m.id) as "threadId", m.state,
        encode(m.digest, 'hex') as digest, m.composer_id as "composerId", m.agent, m.status_reason as "statusReason", m.direction, m.requested_mode as "requestedMode",
        m.effective_mode as "effectiveMode", b.oversight_mode as "mailboxMode",
        coalesce(m.gate_timing, b.gate_timing) as "gateTiming", m.forward_paths as "forwardPaths",
        m.send_at as "sendAt", approved(m.id, m.digest, m.composer_id) as approved,
        coalesce((select json_agg(json_build_object('status', r.status)) from recipients r where r.message_id = m.id),
          '[]') as recipients
      from messages m join mailboxes b on b.id = m.mailbox_id where m.id = $1`,
    values: [id],
  });
  return rows[0];
}
