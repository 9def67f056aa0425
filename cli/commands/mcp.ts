/** `postern mcp`: the tools of a running Postern, for clients that start a program and speak MCP with it. */
import type { Command } from 'commander';
import { remote } from '../command.ts';
import { misuse } from '../output.ts';
import type { Common } from '../settings.ts';

const USUAL_URL = 'http://127.0.0.1:8080';

export function addMcpCommand(program: Command): void {
  remote(program, 'mcp', 'speak MCP over standard input and output, for clients that start a program')
    .option('--mailbox <mailbox>', 'the mailbox of calls that name none (POSTERN_MAILBOX_ID)')
    .action(serve);
}

async function serve(options: Common & { mailbox?: string }): Promise<void> {
  const url = options.url ?? variable('POSTERN_URL', 'MULTIMAIL_API_URL') ?? USUAL_URL;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw misuse(`${url} is no address of an API`, 'expected something like http://127.0.0.1:8080');
  // Whatever a library may print would end the conversation.
  console.log = console.error;
  const { serveStdio } = await import('../../api/mcp/stdio.ts');
  await serveStdio({
    url: url.replace(/\/+$/, ''),
    key: options.key ?? variable('POSTERN_API_KEY', 'MULTIMAIL_API_KEY'),
    mailbox: options.mailbox ?? variable('POSTERN_MAILBOX_ID', 'MULTIMAIL_MAILBOX_ID'),
    older: variable('POSTERN_MCP_LEGACY_TOOLS') === 'true',
    input: process.stdin,
    output: process.stdout,
  });
}

function variable(...names: string[]): string | undefined {
  return names.map((name) => process.env[name]).find((value) => value !== undefined && value !== '');
}
