/** `postern queue`: where mail is, why, and what to do about it. */
import type { Command } from 'commander';
import { clean } from '../../core/runtime/clean.ts';
import type { EmailDetail, EmailSummary, Page } from '../api-shapes.ts';
import { type Client, openClient } from '../client.ts';
import { group, remote } from '../command.ts';
import { ID_HELP, idOf } from '../latest.ts';
import { facts, say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { readCount, readWord } from '../words.ts';

interface ListOptions extends Common {
  all?: boolean;
  state?: string;
  mailbox?: string;
  limit: string;
}

interface Overview {
  states: Record<string, { count: number; oldest: string | null }>;
  paused_routes: { name: string; reason: string; probe_at: string }[];
  backend: string;
}

const LIVE = 'received,held,scheduled,queued,relaying,in_doubt';

export function addQueueCommands(program: Command): void {
  const queue = group(program, 'queue', 'mail on its way');
  remote(queue, 'list', 'how much waits, and the newest of it')
    .option('--all', 'also mail that has ended')
    .option('--state <states>', 'only these states, by comma')
    .option('--mailbox <mailbox>', 'of this mailbox only')
    .option('--limit <n>', 'how many', '20')
    .action(list);
  remote(queue, 'show <id>', `show one message; ${ID_HELP}`).action(show);
  remote(queue, 'explain <id>', `why a message is where it is, and what happens next; ${ID_HELP}`).action(
    explain,
  );
  remote(queue, 'cancel <id>', `withdraw a message that has not begun to leave; ${ID_HELP}`).action(cancel);
  remote(queue, 'retry <id>', `try a message now; one in doubt may arrive twice; ${ID_HELP}`)
    .option('--reason <text>', 'why, for the audit log')
    .action((id: string, options: Common & { reason?: string }) =>
      act(id, options, 'retry', { reason: options.reason }),
    );
  remote(queue, 'settle <id> <outcome>', 'say what became of a message in doubt: sent, failed or retry')
    .option('--reason <text>', 'why, for the audit log')
    .action((id: string, word: string, options: Common & { reason?: string }) =>
      act(id, options, 'settle', {
        outcome: readWord('outcome', word, ['sent', 'failed', 'retry']),
        reason: options.reason,
      }),
    );
  remote(queue, 'resume-route <name>', 'open a paused route and make its mail due').action(resume);
}

async function list(options: ListOptions): Promise<void> {
  const client = openClient(options, 'admin');
  const overview = await client.get<Overview>('/v1/queue');
  const { emails } = await client.get<Page & { emails: EmailSummary[] }>('/v1/queue/emails', {
    state: options.state ?? (options.all === true ? undefined : LIVE),
    mailbox: options.mailbox,
    limit: readCount('--limit', options.limit, { max: 100 }),
  });
  say(options, { ...overview, messages: emails }, () => [
    ...Object.entries(overview.states).map(
      ([state, { count, oldest }]) => `${count} ${state}, the oldest since ${when(oldest) ?? 'now'}`,
    ),
    ...overview.paused_routes.map(
      ({ name, reason, probe_at }) => `route ${name} is paused until ${when(probe_at)}: ${clean(reason)}`,
    ),
    table(
      ['id', 'accepted', 'state', 'from', 'to', 'subject'],
      emails.map((one) => [one.id, when(one.created_at), one.state, one.from, one.to, one.subject]),
      options.all === true || options.state !== undefined ? 'no mail' : 'no mail on its way',
    ),
  ]);
}

/** Of mail: the report about a message is younger than the message, and seldom what is meant. */
const newest = (client: Client) => async () => {
  const { emails } = await client.get<{ emails: EmailSummary[] }>('/v1/queue/emails', {
    kind: 'mail',
    limit: 1,
  });
  return emails[0]?.id;
};

async function show(word: string, options: Common): Promise<void> {
  const client = openClient(options, 'admin');
  const one = await client.get<EmailDetail>(
    `/v1/queue/emails/${await idOf(word, 'message', newest(client))}`,
  );
  say(options, one, () => [
    facts([
      ['id', one.id],
      ['state', one.state],
      ['why', one.status_reason],
      ['from', one.from],
      ['to', one.to],
      ['subject', one.subject],
      ['mailbox', one.mailbox],
      ['came by', one.source],
      ['accepted', when(one.created_at)],
      ['mode', one.oversight_mode],
      ['held because', one.reasons.length > 0 ? one.reasons : undefined],
      ['expires', when(one.expires_at)],
      ['released by', one.released_by],
      ['approved by', one.approved_by],
      ['send at', when(one.send_at)],
      ['attempts', one.attempts],
      ['next attempt', when(one.next_attempt_at)],
      ['size', `${one.size} bytes`],
      ['Message-ID', one.internet_message_id],
      ['digest', one.content_digest],
    ]),
    ...one.recipients.map((to) =>
      facts([[`  ${to.address}`, [to.status, to.next_hop, to.reply].filter(Boolean).join(' – ')]]),
    ),
  ]);
}

async function explain(word: string, options: Common): Promise<void> {
  const client = openClient(options, 'admin');
  const id = await idOf(word, 'message', newest(client));
  const told = await client.get<{ state: string; because: string[]; next: string[] }>(
    `/v1/emails/${id}/explain`,
  );
  say(options, told, () => [
    `${id} is ${told.state}.`,
    ...told.because.map((line) => facts([[' ', line]])),
    'Next:',
    ...told.next.map((line) => facts([[' ', line]])),
  ]);
}

async function cancel(word: string, options: Common): Promise<void> {
  await act(word, options, 'cancel', {});
}

async function act(word: string, options: Common, verb: string, body: object): Promise<void> {
  const client = openClient(options, 'admin');
  const id = await idOf(word, 'message', newest(client));
  const done = await client.post<{ status: string }>(`/v1/emails/${id}/${verb}`, body);
  const { state } = await client.get<EmailDetail>(`/v1/queue/emails/${id}`);
  say(options, { id, ...done, state }, () => `${id} is ${state}`);
}

async function resume(name: string, options: Common): Promise<void> {
  const client = openClient(options, 'admin');
  const done = await client.post<{ due: number }>(`/v1/routes/${encodeURIComponent(name)}/resume`);
  say(
    options,
    done,
    () => `route ${name} is open; ${done.due} ${done.due === 1 ? 'message is' : 'messages are'} due`,
  );
}
