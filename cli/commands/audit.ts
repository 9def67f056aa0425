/** `postern audit`: who did what, and when. */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { AuditEntry, Page } from '../api-shapes.ts';
import { openClient, type Query } from '../client.ts';
import { group, remote } from '../command.ts';
import { say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { readCount, readWord } from '../words.ts';
import { addAuditVerifyCommand } from './audit-verify.ts';

interface Filters extends Common {
  action?: string;
  message?: string;
  mailbox?: string;
  actor?: string;
  agent?: string;
  tag?: string;
  since?: string;
  until?: string;
}

export function addAuditCommands(program: Command): void {
  const audit = group(program, 'audit', 'the audit log');
  filtered(remote(audit, 'list', 'list events, newest first'))
    .option('--limit <n>', 'how many', '50')
    .action(list);
  filtered(remote(audit, 'export', 'write all events that match, oldest first'))
    .option('--format <format>', 'ndjson or csv', 'ndjson')
    .option('--output <file>', 'file to write (default: standard output)')
    .action(exportAll);
  addAuditVerifyCommand(audit);
}

function filtered(command: Command): Command {
  return command
    .option('--action <names>', 'as in message.approved, or message.*')
    .option('--message <ids>', 'about these messages')
    .option('--mailbox <mailboxes>', 'about these mailboxes')
    .option('--actor <names>', 'done by these')
    .option('--agent <names>', 'about messages of these agents')
    .option('--tag <tags>', 'about messages with these tags, key or key=value')
    .option('--since <time>', 'from this date or time on')
    .option('--until <time>', 'before this date or time');
}

function queryOf({ action, message, mailbox, actor, agent, tag, since, until }: Filters): Query {
  return { action, message_id: message, mailbox, actor, agent, tag, since, until };
}

async function list(options: Filters & { limit: string }): Promise<void> {
  const client = openClient(options, 'admin');
  const wanted = readCount('--limit', options.limit, { max: 10_000 });
  const entries: AuditEntry[] = [];
  for (let cursor: string | undefined; entries.length < wanted; ) {
    const limit = Math.min(100, wanted - entries.length);
    const page = await client.get<Page & { entries: AuditEntry[] }>('/v1/audit-log', {
      ...queryOf(options),
      limit,
      cursor,
    });
    entries.push(...page.entries);
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  say(options, { entries }, () =>
    table(
      ['when', 'action', 'by', 'step', 'about'],
      entries.map((one) => [
        when(one.created_at),
        one.action,
        `${one.actor.type} ${one.actor.name}`,
        one.to_state === null ? '' : `${one.from_state ?? 'new'} → ${one.to_state}`,
        `${one.resource_type} ${one.resource_id}`,
      ]),
      'no events',
    ),
  );
}

async function exportAll(options: Filters & { format: string; output?: string }): Promise<void> {
  const format = readWord('format', options.format, ['ndjson', 'csv']);
  const response = await openClient(options, 'admin').raw('/v1/audit-log/export', {
    ...queryOf(options),
    format,
  });
  const body = Readable.fromWeb(response.body as never);
  if (options.output === undefined) {
    for await (const chunk of body) process.stdout.write(chunk);
    return;
  }
  await pipeline(body, createWriteStream(options.output, { mode: 0o600 }));
  say(options, { file: options.output, format }, () => `written to ${options.output}`);
}
