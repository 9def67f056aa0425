/** `postern send-test`: one message through the submission door, with everything a real client would do. */

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import nodemailer from 'nodemailer';
import { clean } from '../../core/runtime/clean.ts';
import { command } from '../command.ts';
import { Failure, misuse, say } from '../output.ts';
import { quickstartFile, readQuickstart } from '../quickstart-file.ts';
import { type Common, configOf, reachable } from '../settings.ts';
import { readAddress } from '../words.ts';

interface SendOptions extends Common {
  from?: string;
  subject: string;
  text: string;
  username?: string;
  password?: string;
  host?: string;
  port?: string;
  caFile?: string;
}

export function addSendTestCommand(program: Command): void {
  command(program, 'send-test <recipients...>', 'submit one message, as a real client would')
    .option('--from <address>', 'reverse-path and From (default: the mailbox of the quickstart)')
    .option('--subject <text>', 'subject', 'A test from postern')
    .option('--text <text>', 'text', 'If you can read this, mail gets through.')
    .option('--username <name>', 'login (default: that of the quickstart)')
    .option(
      '--password <password>',
      'its password (better: POSTERN_SEND_PASSWORD, which no list of processes shows)',
    )
    .option('--host <host>', 'submission host (default: the configured one)')
    .option('--port <port>', 'submission port with STARTTLS (default: the configured one)')
    .option('--ca-file <file>', 'certificate to trust (default: the self-signed one of the data directory)')
    .action(sendTest);
}

async function sendTest(recipients: string[], options: SendOptions): Promise<void> {
  const config = configOf(options);
  const known = readQuickstart(quickstartFile(config.data_dir));
  const username = options.username ?? known?.submission.username;
  const password = options.password ?? (process.env.POSTERN_SEND_PASSWORD || known?.submission.password);
  const from = options.from ?? known?.mailbox.address ?? username;
  if (username === undefined || password === undefined || from === undefined)
    throw misuse(
      'no login is known here',
      'give --username, --password and --from; make one by "postern login add"',
    );
  const envelope = { from: readAddress(from), to: recipients.map(readAddress) };
  const host = options.host ?? known?.submission.host ?? reachable(config.submission.host);
  const port = Number(options.port ?? known?.submission.port ?? config.submission.port);
  const ca = options.caFile ?? known?.submission.ca_file ?? undefined;
  const transport = nodemailer.createTransport({
    host,
    port,
    requireTLS: true,
    auth: { user: username, pass: password },
    tls: ca === undefined ? {} : { ca: readFileSync(ca) },
    disableFileAccess: true,
    disableUrlAccess: true,
    connectionTimeout: 10_000,
  });
  try {
    const { response, accepted } = await transport.sendMail({
      envelope,
      from: envelope.from,
      to: envelope.to,
      subject: options.subject,
      text: options.text,
    });
    say(options, { accepted, reply: response }, () => `${host}:${port} took it: ${clean(response, 200)}`);
  } catch (err) {
    throw failureOf(err, `${host}:${port}`);
  } finally {
    transport.close();
  }
}

function failureOf(err: unknown, where: string): Failure {
  const { code, response, message } = err as { code?: string; response?: string; message: string };
  if (response !== undefined)
    return new Failure(`${where} refused it: ${clean(response, 300)}`, { code: 'refused', cause: err });
  const refused = code === 'ESOCKET' && message.includes('ECONNREFUSED');
  return new Failure(
    refused ? `nothing answers at ${where} — is Postern running?` : `${where}: ${clean(message, 200)}`,
    {
      code: refused ? 'not_running' : 'unreachable',
      hint: refused ? 'start it with "npm start"' : undefined,
      cause: err,
    },
  );
}
