/** The running system that contracts are tried against: two mailboxes, keys of every scope, mail in every state. */
import nodemailer from 'nodemailer';
import { newId } from '../../core/mail/id.ts';
import type { Scope } from '../../core/store/keys.ts';
import { startGateway } from '../../gateway/main.ts';
import { startTestApi, type TestApi } from './api.ts';

export interface World {
  readonly api: TestApi;
  /** A mailbox of the caller's, and one that is not. */
  readonly mine: string;
  readonly theirs: string;
  /** What belongs to the other mailbox and must stand in no answer to a stranger. */
  readonly secrets: RegExp;
  /** A key of a principal of its own, so that what it may do so often an hour is its own too. */
  keyWith(scope: Scope): Promise<string>;
  /** The same, bound to `mine`. */
  boundKeyWith(scope: Scope): Promise<string>;
  /** A resource of the other mailbox, for a member such as `email_id`; undefined where mailboxes have none. */
  foreign(member: string): Promise<string | undefined>;
  held(mailbox?: string): Promise<string>;
  scheduled(): Promise<string>;
  /** Inbound mail with the file `report.txt`, available. */
  inbound(mailbox?: string): Promise<string>;
  /** Mail that was handed over, with an outcome that nobody knows. */
  inDoubt(): Promise<string>;
  /** A captured message of `mine`. */
  captured(): Promise<string>;
  unique(): string;
  close(): Promise<void>;
}

const SECRET = 'Not for strangers';

export async function openWorld(): Promise<World> {
  const api = await startTestApi();
  const gateway = await startGateway(api.runtime);
  const pool = api.runtime.database.pool;
  const mine = await api.mailbox('mine@ours.example', 'gated_send');
  const theirs = await api.mailbox('theirs@ours.example', 'gated_send');
  const smtp = nodemailer.createTransport({ host: '127.0.0.1', port: gateway.ports.mx!, ignoreTLS: true });
  let count = 0;
  const unique = () => String(++count);
  const keyOf = async (scope: Scope, mailboxId: string | null) => {
    const principal = { kind: 'agent' as const, name: `caller ${unique()}` };
    return (await api.key({ scopes: [scope], principal, mailboxId })).apiKey;
  };

  const held: World['held'] = (mailbox = mine.id) =>
    api.send(mailbox, { subject: mailbox === theirs.id ? SECRET : `Held ${unique()}` });

  const inbound: World['inbound'] = async (mailbox = mine.id) => {
    const subject = mailbox === theirs.id ? SECRET : `Inbound ${unique()}`;
    await smtp.sendMail({
      from: 'ana@remote.example',
      to: mailbox === theirs.id ? 'theirs@ours.example' : 'mine@ours.example',
      subject,
      text: 'What they say.',
      attachments: [{ filename: 'report.txt', content: 'All is well.' }],
    });
    const { rows } = await pool.query<{ id: string }>(
      'select id from messages where mailbox_id = $1 and direction = $2 order by id desc limit 1',
      [mailbox, 'inbound'],
    );
    await api.until(rows[0]!.id, 'unread');
    return rows[0]!.id;
  };

  const foreigners: Record<string, () => Promise<string>> = {
    mailbox_id: async () => theirs.id,
    email_id: () => held(theirs.id),
    thread_id: () => held(theirs.id),
    async entry_id() {
      const id = newId();
      await pool.query('insert into allowlist_entries (id, mailbox_id, pattern) values ($1, $2, $3)', [
        id,
        theirs.id,
        `*@${SECRET.replaceAll(' ', '-').toLowerCase()}${unique()}.example`,
      ]);
      return id;
    },
  };

  return {
    api,
    mine: mine.id,
    theirs: theirs.id,
    secrets: new RegExp(`${SECRET}|theirs@ours.example`, 'i'),
    keyWith: (scope) => keyOf(scope, null),
    boundKeyWith: (scope) => keyOf(scope, mine.id),
    foreign: async (member) => foreigners[member]?.(),
    held,
    scheduled: () =>
      api.send(mine.id, {
        subject: `Later ${unique()}`,
        send_at: new Date(Date.now() + 3_600_000).toISOString(),
        gate_timing: 'schedule_first',
      }),
    inbound,
    async inDoubt() {
      const id = await held();
      await pool.query(`update recipients set status = 'in_doubt' where message_id = $1`, [id]);
      await pool.query(`update holds set closed_at = now() where message_id = $1`, [id]);
      await pool.query(`update messages set state = 'in_doubt', attempts = 1 where id = $1`, [id]);
      return id;
    },
    async captured() {
      const id = newId();
      await pool.query(
        `insert into captures (id, message_id, content_id, reverse_path, forward_paths, subject)
         select $1, id, content_id, reverse_path, forward_paths, subject from messages where id = $2`,
        [id, await held()],
      );
      return id;
    },
    unique,
    async close() {
      smtp.close();
      await gateway.close();
      await api.close();
    },
  };
}
