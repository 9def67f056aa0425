/** `postern capture`: mail that ended in the capture box instead of the internet. */
import type { Command } from 'commander';
import type { Capture, Page } from '../api-shapes.ts';
import { type Client, openClient } from '../client.ts';
import { group, remote } from '../command.ts';
import { ID_HELP, idOf } from '../latest.ts';
import { fetchRaw, shownOf, textLines } from '../message.ts';
import { facts, say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { readCount } from '../words.ts';

type Captures = Page & { captures: Capture[] };

export function addCaptureCommands(program: Command): void {
  const capture = group(program, 'capture', 'mail caught by a capture route');
  remote(capture, 'list', 'list captured mail, newest first')
    .option('--limit <n>', 'how many', '20')
    .action(list);
  remote(capture, 'show <id>', `show one captured message; ${ID_HELP}`)
    .option('--raw', 'the bytes as they would have been sent')
    .action(show);
}

async function list(options: Common & { limit: string }): Promise<void> {
  const client = openClient(options, 'admin');
  const limit = readCount('--limit', options.limit, { max: 100 });
  const { captures } = await client.get<Captures>('/v1/capture', { limit });
  say(options, { captures }, () =>
    table(
      ['id', 'arrived', 'from', 'to', 'subject'],
      captures.map((one) => [
        one.id,
        when(one.captured_at),
        one.reverse_path || '<>',
        one.forward_paths,
        one.subject,
      ]),
      'nothing was captured yet',
    ),
  );
}

/** The newest that is no notice of held mail: of those there is one for each message that still waits. */
const newest = (client: Client) => async () => {
  const { captures } = await client.get<Captures>('/v1/capture', { limit: 100 });
  const tellsOfMail = ({ kind, about_id }: Capture) => kind === 'notice' && about_id !== null;
  return (captures.find((one) => !tellsOfMail(one)) ?? captures[0])?.id;
};

async function show(word: string, options: Common & { raw?: boolean }): Promise<void> {
  const client = openClient(options, 'admin');
  const id = await idOf(word, 'captured message', newest(client));
  const one = await client.get<Capture>(`/v1/capture/${id}`);
  const raw = await fetchRaw(client, `/v1/capture/${id}/raw`);
  if (options.raw === true && options.json !== true) {
    process.stdout.write(raw);
    return;
  }
  const shown = await shownOf(raw);
  const more = { text: shown?.text ?? null, attachments: shown?.attachments ?? [] };
  say(options, { ...one, ...more, ...(options.raw === true ? { raw: raw.toString('latin1') } : {}) }, () => [
    facts([
      ['id', one.id],
      ['message', one.message_id],
      ['arrived', when(one.captured_at)],
      ['from', one.reverse_path || '<>'],
      ['to', one.forward_paths],
      ['header from', shown?.header.from],
      ['header to', shown?.header.to],
      ['subject', one.subject],
      ['attachments', shown?.attachments.length ? shown.attachments : undefined],
    ]),
    textLines(raw, shown),
  ]);
}
