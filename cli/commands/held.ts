/** `postern held`: what waits for a person, and the person's answer. */
import type { Command } from 'commander';
import type { Decided, EmailDetail, Page, Pending, Review } from '../api-shapes.ts';
import { type Client, openClient } from '../client.ts';
import { group, remote } from '../command.ts';
import { ID_HELP, idOf } from '../latest.ts';
import { digestOf, fetchRaw, shownOf, textLines } from '../message.ts';
import { Failure, facts, misuse, say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { readAddress } from '../words.ts';

interface DecideOptions extends Common {
  reason?: string;
  digest?: string;
}

export function addHeldCommands(program: Command): void {
  const held = group(program, 'held', 'what waits for a person');
  remote(held, 'list', 'list held mail, oldest first')
    .option('--mailbox <mailbox>', 'of this mailbox only')
    .action(list);
  remote(held, 'show <id>', `show what would be approved; ${ID_HELP}`).action(show);
  for (const action of ['approve', 'reject'] as const)
    remote(held, `${action} <id>`, `show a held message and ${action} exactly that; ${ID_HELP}`)
      .option('--reason <text>', action === 'reject' ? 'why; its sender is told' : 'why')
      .option('--digest <hex>', 'decide only if the message still has this digest')
      .action((id: string, options: DecideOptions) => decide(action, id, options));
}

async function list(options: Common & { mailbox?: string }): Promise<void> {
  const client = openClient(options, 'reviewer');
  const mailbox = options.mailbox === undefined ? undefined : readAddress(options.mailbox);
  const held = await allPending(client, mailbox);
  say(options, { held }, () =>
    table(
      ['id', 'since', 'from', 'to', 'subject', 'because'],
      held.map((one) => [one.id, when(one.created_at), one.from, one.to, one.subject, one.reasons]),
      'nothing is held',
    ),
  );
}

async function allPending(client: Client, mailbox?: string): Promise<Pending[]> {
  const all: Pending[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await client.get<Page & { pending: Pending[] }>('/v1/oversight/pending', {
      mailbox,
      cursor,
      limit: 500,
    });
    all.push(...page.pending);
    // Who waits longest is answered first; the API lists the other way round.
    if (page.cursor === null) return all.reverse();
    cursor = page.cursor;
  }
}

const newest = (client: Client) => async () => (await allPending(client)).at(-1)?.id;

async function show(word: string, options: Common): Promise<void> {
  const client = openClient(options, 'reviewer');
  const seen = await look(client, await idOf(word, 'held message', newest(client)));
  say(options, seen.value, () => seen.lines);
}

/**
 * What a reviewer gets to see. The digest is worked out here from the envelope and the bytes that are shown,
 * so that what is approved can be nothing else.
 */
async function look(client: Client, id: string) {
  const path = `/v1/oversight/emails/${id}`;
  const review = await client.get<Review>(path);
  const raw = await fetchRaw(client, `/v1/emails/${id}/raw`);
  if (digestOf(review.envelope, raw) !== review.content_digest)
    throw new Failure(`the message ${id} is not what its digest says; nothing was decided`, {
      code: 'digest_mismatch',
      hint: 'it may have changed at this moment: look again',
    });
  const shown = await shownOf(raw);
  const value = { ...review, text: shown?.text ?? null, attachments: shown?.attachments ?? [] };
  const lines = [
    facts([
      ['id', review.id],
      ['from', review.envelope.reverse_path === '' ? '<>' : review.envelope.reverse_path],
      ['to', review.envelope.forward_paths],
      ['header from', shown?.header.from],
      ['header to', [shown?.header.to, shown?.header.cc].filter((text) => text).join(', ')],
      ['subject', review.subject],
      [
        'composed by',
        review.composer === null ? undefined : `${review.composer.type} ${review.composer.name}`,
      ],
      ['held because', review.reasons],
      ['expires', when(review.expires_at)],
      ['send at', when(review.send_at)],
      ['attachments', shown?.attachments.length ? shown.attachments : undefined],
      ['digest', review.content_digest],
    ]),
    textLines(raw, shown),
  ];
  return { review, value, lines };
}

async function decide(action: 'approve' | 'reject', word: string, options: DecideOptions): Promise<void> {
  if (action === 'reject' && options.reason === undefined)
    throw misuse('a rejection needs a reason', 'give one by --reason; its sender is told');
  const client = openClient(options, 'reviewer');
  const { review, lines } = await look(client, await idOf(word, 'held message', newest(client)));
  if (options.digest !== undefined && options.digest.toLowerCase() !== review.content_digest)
    throw new Failure(`the digest of ${review.id} is ${review.content_digest} now; nothing was decided`, {
      code: 'content_changed',
    });
  if (options.json !== true) say(options, null, () => [...lines, '']);
  const decided = await client.post<Decided>('/v1/oversight/decide', {
    email_id: review.id,
    action,
    content_digest: review.content_digest,
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  });
  const { status, state } = await settled(client, review.id);
  const after = { email_status: status, state };
  say(options, { ...decided, ...after, content_digest: review.content_digest }, () =>
    action === 'approve'
      ? `approved ${review.id}; it is ${state}`
      : `rejected ${review.id}; it is never sent`,
  );
}

const SETTLES_MS = 3_000;
const ON_THE_WAY = ['queued', 'relaying'];

/** How the message stands once delivery has had a moment with it. */
async function settled(client: Client, id: string): Promise<EmailDetail> {
  for (const until = Date.now() + SETTLES_MS; ; ) {
    const email = await client.get<EmailDetail>(`/v1/queue/emails/${id}`);
    if (!ON_THE_WAY.includes(email.state) || Date.now() > until) return email;
    await new Promise((done) => setTimeout(done, 50));
  }
}
