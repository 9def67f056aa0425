import { newId } from '../../core/mail/id.ts';
import type { Mode } from '../../core/mail/mode.ts';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { createMailbox } from '../../core/store/accounts.ts';
import { createLogin } from '../../core/store/login-accounts.ts';
import { hashPassword } from '../../core/store/passwords.ts';
import { type Gateway, startGateway } from '../../gateway/main.ts';
import { type TestRuntimeOptions, testRuntime } from './runtime.ts';

export interface StoredMessage {
  id: string;
  direction: string;
  source: string;
  state: string;
  mailbox: string;
  reversePath: string;
  forwardPaths: string[];
  subject: string;
  tags: Record<string, string>;
  agent: string | null;
  requestedMode: string | null;
  sendAt: Date | null;
  smtputf8: boolean;
  body8bit: boolean;
  composerId: string | null;
  facts: Record<string, unknown>;
  contentId: string;
  bytes: Buffer;
}

export interface TestGateway extends Omit<Gateway, 'ports'> {
  runtime: Runtime;
  ports: Required<Gateway['ports']>;
  /** What is in the store, oldest first. */
  messages(): Promise<StoredMessage[]>;
  mailbox(address: string, mode?: Mode): Promise<string>;
  /** A login for the mailbox; its username and its password are what they look like. */
  login(username: string, mailboxId: string): Promise<string>;
}

const SYSTEM = { type: 'system', id: null, name: 'test' } as const;
export const PASSWORD = 'correct-horse';
// Argon2 is meant to be slow; one hash serves all logins of a run.
let hashed: Promise<string> | undefined;

/** A gateway alone, over a database of its own: nobody judges or sends what it takes. */
export async function testGateway(
  settings: Record<string, unknown> = {},
  options: TestRuntimeOptions = {},
): Promise<TestGateway> {
  const runtime = await testRuntime(settings, options);
  const gateway = await startGateway(runtime);
  const { pool } = runtime.database;
  return {
    ...gateway,
    ports: gateway.ports as Required<Gateway['ports']>,
    runtime,
    async close() {
      await gateway.close();
      await runtime.close();
    },
    async messages() {
      const { rows } = await pool.query<StoredMessage>(
        `select m.id, m.direction, m.source, m.state, b.address as mailbox, m.reverse_path as "reversePath",
                m.forward_paths as "forwardPaths", m.subject, m.tags, m.agent, m.requested_mode as "requestedMode",
                m.send_at as "sendAt", m.smtputf8, m.body_8bit as "body8bit", m.composer_id as "composerId", m.facts,
                m.content_id as "contentId", c.bytes
           from messages m join mailboxes b on b.id = m.mailbox_id join contents c on c.id = m.content_id
          order by m.id`,
      );
      return rows;
    },
    async mailbox(address, mode = 'monitored') {
      return (await createMailbox(pool, { address, oversightMode: mode }, SYSTEM))!.id;
    },
    async login(username, mailboxId) {
      hashed ??= hashPassword(PASSWORD);
      const principal = { kind: 'agent', name: `${username} ${newId()}` } as const;
      const made = await createLogin(
        pool,
        { username, mailboxId, principal, passwordHash: await hashed },
        SYSTEM,
      );
      return made!.id;
    },
  };
}
