/** The API over HTTP on a database of its own, with the policy room behind it and keys for whoever is needed. */
import { type Api, startApi } from '../../api/main.ts';
import { system } from '../../core/mail/actor.ts';
import type { Mode } from '../../core/mail/mode.ts';
import type { Room } from '../../core/runtime/runtime.ts';
import { createMailbox, type MailboxFacts } from '../../core/store/accounts.ts';
import { createKey, type NewKey } from '../../core/store/keys.ts';
import { startPolicy } from '../../policy/main.ts';
import { type Internet, letter, openInternet } from './mx.ts';
import { mailedCode } from './notices.ts';
import { type TestRuntime, type TestRuntimeOptions, testRuntime } from './runtime.ts';

export interface Reply {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: replies are looked into as JSON, and compared
  json: any;
  text: string;
}

export interface Ask {
  key?: string | undefined;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface TestApi {
  readonly runtime: TestRuntime;
  readonly url: string;
  /** Keys of three principals. */
  readonly keys: { admin: string; agent: string; reviewer: string };
  call(method: string, path: string, ask?: Ask): Promise<Reply>;
  key(key: Partial<NewKey>): Promise<{ id: string; apiKey: string }>;
  mailbox(address: string, mode: Mode): Promise<MailboxFacts>;
  /** Sends by REST and waits until it is judged; returns its id. */
  send(mailbox: string, fields?: Record<string, unknown>, key?: string): Promise<string>;
  /** Lets a stranger deliver a letter over SMTP and waits until it is judged; returns its id. */
  receive(to: { address: string }, letter?: Letter): Promise<string>;
  /** Asks until the message has one of these statuses. */
  until(id: string, ...statuses: string[]): Promise<Reply['json']>;
  /** The code that was mailed last, as a person reads it. */
  code(): Promise<string>;
  /** The same call twice: the second shows the code that the first had mailed, if it had. */
  confirm(method: string, path: string, ask: Ask & { body?: object }): Promise<Reply>;
  close(): Promise<void>;
}

/** Header fields by their names, `subject` and `from` also as they are usually written here; or all of it. */
export type Letter = Partial<Record<string, string>> & { text?: string; raw?: string };

const FIELDS: Record<string, string> = { subject: 'Subject', from: 'From', to: 'To' };
const TEST = system('cli');

export async function startTestApi(
  settings: Record<string, unknown> = {},
  options: TestRuntimeOptions = {},
): Promise<TestApi> {
  // Tests say the same thing many times over; those about repetitions set the window.
  const runtime = await testRuntime({ api: { duplicate_window: 0 }, ...settings }, options);
  const policy: Room = await startPolicy(runtime);
  const api: Api = await startApi(runtime);
  const db = runtime.database.pool;
  const key: TestApi['key'] = (given) =>
    createKey(
      db,
      { name: 'a key', scopes: ['read'], principal: { kind: 'agent', name: 'someone' }, ...given },
      'test',
      TEST,
    );
  const keys = {
    admin: (await key({ scopes: ['admin'], principal: { kind: 'user', name: 'admin' } })).apiKey,
    agent: (await key({ scopes: ['read', 'send'], principal: { kind: 'agent', name: 'agent' } })).apiKey,
    reviewer: (await key({ scopes: ['oversight'], principal: { kind: 'user', name: 'reviewer' } })).apiKey,
  };

  const call: TestApi['call'] = async (method, path, ask = {}) => {
    const response = await fetch(`${api.url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(ask.key !== undefined && { authorization: `Bearer ${ask.key}` }),
        ...(ask.body !== undefined && { 'content-type': 'application/json' }),
        ...ask.headers,
      },
      ...(ask.body !== undefined && {
        body: typeof ask.body === 'string' ? ask.body : JSON.stringify(ask.body),
      }),
    });
    const text = await response.text();
    const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? JSON.parse(text) : undefined,
    };
  };

  const until: TestApi['until'] = async (id, ...statuses) => {
    for (let tries = 0; ; tries++) {
      const { json } = await call('GET', `/v1/queue/emails/${id}`, { key: keys.admin });
      if (statuses.includes(json.status)) return json;
      if (tries > 200) throw new Error(`${id} is still ${json.status}, not ${statuses.join(' or ')}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  let internet: Promise<Internet> | undefined;
  return {
    runtime,
    url: api.url,
    keys,
    call,
    key,
    until,
    async mailbox(address, mode) {
      const made = await createMailbox(db, { address, oversightMode: mode }, TEST);
      if (made === undefined) throw new Error(`${address} is taken`);
      return made;
    },
    async send(mailbox, fields = {}, apiKey = keys.agent) {
      const sent = await call('POST', `/v1/mailboxes/${mailbox}/send`, {
        key: apiKey,
        body: { to: ['ana@remote.example'], subject: 'Hello', markdown: 'It is done.', ...fields },
      });
      if (sent.status !== 202) throw new Error(`not sent: ${sent.status} ${sent.text}`);
      await until(sent.json.id, 'pending_send_approval', 'queued', 'scheduled');
      return sent.json.id;
    },
    code: () => mailedCode(db),
    async confirm(method, path, ask) {
      const first = await call(method, path, ask);
      if (first.status !== 202 || first.json.status !== 'pending_approval') return first;
      return call(method, path, { ...ask, body: { ...ask.body, approval_code: await mailedCode(db) } });
    },
    async receive(to, { text, raw, ...fields } = {}) {
      internet ??= openInternet(runtime);
      const header = Object.fromEntries(
        Object.entries(fields).map(([name, value]) => [FIELDS[name] ?? name, value]),
      );
      const id = await (await internet).deliver(
        to.address,
        raw ?? letter({ To: to.address, ...header }, text),
      );
      await until(id, 'unread', 'pending_inbound_approval', 'spam_flagged', 'spam_quarantined');
      return id;
    },
    async close() {
      await (await internet)?.close();
      await api.close();
      await policy.close();
      await runtime.close();
    },
  };
}
