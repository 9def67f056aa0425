/**
 * `postern sink`: a next hop for trying things out. It takes every mail it is given, tells what arrived, and
 * may keep it in a folder. It listens on this machine only, unless told otherwise, and passes nothing on.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { SMTPServer } from 'smtp-server';
import { readFacts } from '../../core/mail/facts.ts';
import { newId } from '../../core/mail/id.ts';
import { command } from '../command.ts';
import { Failure, facts, jsonText, say } from '../output.ts';
import type { Common } from '../settings.ts';
import { readCount } from '../words.ts';

interface SinkOptions extends Common {
  port: string;
  host: string;
  save?: string;
  count?: string;
  reject?: string;
}

export function addSinkCommand(program: Command): void {
  command(program, 'sink', 'a small SMTP sink that tells what arrives')
    .option('--port <port>', 'port to listen on; 0 takes any free one', '2626')
    .option('--host <host>', 'interface to listen on', '127.0.0.1')
    .option('--save <folder>', 'keep each message there as an .eml file')
    .option('--count <n>', 'end after so many messages')
    .option('--reject <reply>', 'refuse every recipient with this reply, as in "550 no such user"')
    .action(sink);
}

async function sink(options: SinkOptions): Promise<void> {
  const port = readCount('--port', options.port, { min: 0, max: 65_535 });
  const last = options.count === undefined ? Number.POSITIVE_INFINITY : readCount('--count', options.count);
  if (options.save !== undefined) mkdirSync(options.save, { recursive: true, mode: 0o700 });
  let taken = 0;
  let finish = () => {};
  const finished = new Promise<void>((done) => {
    finish = done;
  });
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    authOptional: true,
    logger: false,
    banner: 'postern sink',
    closeTimeout: 500,
    onRcptTo: (_path, _session, done) => done(refusal(options.reject)),
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        const message = arrived(
          mailFrom === false ? '' : mailFrom.address,
          rcptTo,
          Buffer.concat(chunks),
          options,
        );
        tell(message, options);
        done(null, `2.0.0 Ok: taken as ${message.id}`);
        taken += 1;
        if (taken >= last) finish();
      });
    },
  });
  server.on('error', () => {}); // a peer that breaks off is no news here
  await listen(server, port, options.host);
  const bound = (server.server.address() as { port: number }).port;
  say(
    options,
    { event: 'listening', host: options.host, port: bound },
    () => `listening on ${options.host}:${bound}`,
  );
  process.once('SIGINT', finish).once('SIGTERM', finish);
  await finished;
  await new Promise<void>((done) => server.close(done));
}

function listen(server: SMTPServer, port: number, host: string): Promise<void> {
  return new Promise((done, failed) => {
    server.server.once('error', (err: NodeJS.ErrnoException) =>
      failed(
        new Failure(`port ${port} on ${host} cannot be had: ${err.code}`, {
          code: 'port',
          hint: 'choose another by --port',
        }),
      ),
    );
    server.listen(port, host, () => done());
  });
}

function refusal(reply: string | undefined): Error | null {
  if (reply === undefined) return null;
  const [, code = '550', text = reply] = /^(\d{3}) (.*)$/.exec(reply) ?? [];
  return Object.assign(new Error(text), { responseCode: Number(code) });
}

function arrived(reversePath: string, paths: { address: string }[], bytes: Buffer, { save }: SinkOptions) {
  const id = newId();
  const file = save === undefined ? undefined : join(save, `${id}.eml`);
  if (file !== undefined) writeFileSync(file, bytes, { mode: 0o600 });
  const { subject, messageId } = readFacts(bytes, { hostname: 'sink' });
  return {
    event: 'message',
    id,
    reverse_path: reversePath,
    forward_paths: paths.map(({ address }) => address),
    size: bytes.length,
    subject,
    message_id: messageId,
    file,
  };
}

function tell(message: ReturnType<typeof arrived>, options: SinkOptions): void {
  if (options.json === true) process.stdout.write(`${jsonText(message)}\n`);
  else
    say(options, message, () => [
      '',
      facts([
        ['from', message.reverse_path === '' ? '<>' : message.reverse_path],
        ['to', message.forward_paths],
        ['subject', message.subject],
        ['size', `${message.size} bytes`],
        ['kept as', message.file],
      ]),
    ]);
}
