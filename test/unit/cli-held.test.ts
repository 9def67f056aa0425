import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { run } from '../../cli/main.ts';
import { contentSha256, messageDigest } from '../../core/mail/digest.ts';

const ID = '01JD8Z6T4M3Q8VJ0RBX4N2C7WK';
const RAW = 'From: a@x.test\r\nTo: b@x.test\r\nSubject: s\r\n\r\nthe text\r\n';
const ENVELOPE = { reverse_path: 'a@x.test', forward_paths: ['b@x.test'] };
const digestOf = (bytes: string) =>
  messageDigest({
    reversePath: 'a@x.test',
    forwardPaths: ['b@x.test'],
    contentSha256: contentSha256(Buffer.from(bytes)),
  });
const DIGEST = digestOf(RAW);

let server: Server;
let raw = RAW;
let digest = DIGEST;
let envelope: object = ENVELOPE;
let decisions: { content_digest: string; action: string }[] = [];
let stdout = '';
let stderr = '';

beforeEach(async () => {
  [raw, digest, envelope, decisions, stdout, stderr] = [RAW, DIGEST, ENVELOPE, [], '', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text;
    return true;
  });
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const path = request.url!.split('?')[0];
    const answers: Record<string, unknown> = {
      [`/v1/oversight/emails/${ID}`]: review(),
      [`/v1/queue/emails/${ID}`]: { status: 'sent', state: 'relayed' },
      '/v1/oversight/pending': { pending: [review()], cursor: null },
      '/v1/oversight/decide': { status: 'approved_and_sent', id: ID, email_status: 'queued' },
    };
    if (path === '/v1/oversight/decide') decisions.push(JSON.parse(body));
    response.end(path === `/v1/emails/${ID}/raw` ? raw : JSON.stringify(answers[path!]));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  vi.restoreAllMocks();
  server.close();
});

const review = () => ({
  id: ID,
  subject: 's',
  reasons: ['why'],
  composer: null,
  envelope,
  content_digest: digest,
});
const held = (...words: string[]) =>
  run([
    'held',
    ...words,
    '--url',
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    '--key',
    'k',
  ]);

test('an approval names the digest of what was shown', async () => {
  expect(await held('approve', 'latest')).toBe(0);
  expect(stdout).toContain('  | the text\n');
  expect(decisions).toEqual([{ email_id: ID, action: 'approve', content_digest: DIGEST }]);
});

test.each([
  ['other bytes', { raw: RAW.replace('the text', 'another text') }],
  ['another recipient', { envelope: { ...ENVELOPE, forward_paths: ['c@x.test'] } }],
  ['another reverse-path', { envelope: { ...ENVELOPE, reverse_path: '' } }],
] as [string, { raw?: string; envelope?: object }][])(
  'with %s than the digest says, nothing is shown as approved and nothing is decided',
  async (_, forged) => {
    raw = forged.raw ?? RAW;
    envelope = forged.envelope ?? ENVELOPE;
    expect(await held('approve', ID)).toBe(1);
    expect(await held('show', ID)).toBe(1);
    expect([stdout, decisions]).toEqual(['', []]);
    expect(stderr).toContain('is not what its digest says; nothing was decided');
  },
);

test('the text of a held mail moves no cursor and passes for no line of ours', async () => {
  raw = RAW.replace('the text', 'x\u001b[2K\u001b[1A\u202e\r\napproved');
  digest = digestOf(raw);
  expect(await held('show', ID)).toBe(0);
  expect(stdout).toContain('  | approved');
  expect(stdout).not.toMatch(/^approved/m);
  expect(stdout).not.toMatch(/[\u001b\u202e\r]/);
});
