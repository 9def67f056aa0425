/**
 * What a quickstart says when it is ready: where things are, and lines that can be copied into a shell in
 * this folder and work as they stand.
 */
import { relative } from 'node:path';
import { type Quickstart, quickstartFile } from './quickstart-file.ts';

export interface WelcomeFacts {
  quickstart: Quickstart;
  state: 'first' | 'kept' | 'renewed';
  /** What had to be made anew, in words. */
  made: string[];
  dataDir: string;
  /** Whether outgoing mail ends in the capture box. */
  captured: boolean;
  /** Settings that the printed commands need as well, to find the same data. */
  env: Record<string, string>;
}

const TO = 'ana@example.org';

export function welcome(facts: WelcomeFacts): string {
  const { state, captured } = facts;
  const ends = captured
    ? 'Outgoing mail ends in the capture box: nothing reaches the internet.'
    : 'Outgoing mail leaves by the route you configured.';
  const parts = [`Postern is ready. ${ends}`, places(facts)];
  if (state === 'renewed')
    parts.push(
      `Made anew, for the old ones were not found: ${facts.made.join(', ')}. The old ones stay valid.`,
    );
  parts.push(state === 'first' ? lessons(facts) : reminder(facts));
  return `\n${parts.join('\n\n')}\n\n`;
}

function places({ quickstart: { mailbox, submission, mx, api }, dataDir }: WelcomeFacts): string {
  return [
    `  mailbox     ${mailbox.address} (${mailbox.oversight_mode}${explained(mailbox.oversight_mode)})`,
    `  submission  ${submission.host}:${submission.port} with STARTTLS, ${submission.host}:${submission.tls_port} with TLS`,
    `  mx          ${mx.host}:${mx.port}`,
    `  api         ${api.url}`,
    `  secrets     ${fromHere(quickstartFile(dataDir))}`,
  ].join('\n');
}

function explained(mode: string): string {
  return mode === 'gated_send' ? ': a person approves what it sends' : '';
}

function lessons(facts: WelcomeFacts): string {
  const { quickstart } = facts;
  const postern = commandFor(facts);
  return [
    'Try it from another terminal in this folder. Each line stands alone.',
    step('Send by SMTP with curl:', curlSmtp(quickstart)),
    step('or with swaks:', swaks(quickstart)),
    step('or by REST:', rest(quickstart)),
    step('See what is held, and approve the newest:', postern('held list'), postern('held approve latest')),
    step('See it arrive:', postern('capture list'), postern('capture show latest')),
    step('See who did what:', postern('audit list')),
    step(
      'Give an assistant the same by MCP, with the agent key as its bearer token:',
      `${quickstart.api.url}/mcp`,
    ),
    step('Read what programs can do:', `${quickstart.api.url}/docs`),
    'Ctrl-C ends it; "npm start" goes on where it was. "npm run -s postern -- --help" shows the rest.',
  ].join('\n\n');
}

function reminder(facts: WelcomeFacts): string {
  const postern = commandFor(facts);
  return [
    step(
      'What is held, what arrived, what happened:',
      postern('held list'),
      postern('capture list'),
      postern('audit list'),
    ),
    'All else: "npm run -s postern -- --help".',
  ].join('\n\n');
}

function step(title: string, ...lines: string[]): string {
  return [title, ...lines.map((line) => `  ${line}`)].join('\n');
}

function curlSmtp({ submission, mailbox }: Quickstart): string {
  const message = `From: ${mailbox.address}\\r\\nTo: ${TO}\\r\\nSubject: Hello from curl\\r\\n\\r\\nThis waits for a person.\\r\\n`;
  const trust = submission.ca_file === null ? '' : ` --cacert ${sh(fromHere(submission.ca_file))}`;
  return (
    `printf ${sh(message)} | curl -sS --ssl-reqd${trust} --url smtp://${authority(submission)} ` +
    `--user ${sh(`${submission.username}:${submission.password}`)} ` +
    `--mail-from ${sh(mailbox.address)} --mail-rcpt ${TO} --upload-file -`
  );
}

function swaks({ submission, mailbox }: Quickstart): string {
  return (
    `swaks --server ${authority(submission)} --tls --auth PLAIN --auth-user ${sh(submission.username)} ` +
    `--auth-password ${sh(submission.password)} --from ${sh(mailbox.address)} --to ${TO} ` +
    `--header ${sh('Subject: Hello from swaks')} --body ${sh('This waits as well.')}`
  );
}

function rest({ api, mailbox }: Quickstart): string {
  const body = JSON.stringify({ to: [TO], subject: 'Hello from REST', markdown: 'And so does *this*.' });
  return (
    `curl -sS -H ${sh(`Authorization: Bearer ${api.agent_key}`)} -H 'Content-Type: application/json' ` +
    `--data ${sh(body)} ${sh(`${api.url}/v1/mailboxes/${mailbox.id}/send`)}`
  );
}

function commandFor({ env }: WelcomeFacts): (words: string) => string {
  const settings = Object.entries(env).map(([name, value]) => `${name}=${sh(value)} `);
  return (words) => `${settings.join('')}npm run -s postern -- ${words}`;
}

function authority({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A path as short as it can be written from here. */
function fromHere(path: string): string {
  const short = relative(process.cwd(), path);
  return short === '' || short.startsWith('..') ? path : short;
}

/** A word as a POSIX shell reads it back. */
export function sh(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
