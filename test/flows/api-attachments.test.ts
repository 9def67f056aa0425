import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const part = (header: string, body: string) => `--b\n${header}\n\n${body}\n`;
const parts = (...all: string[]) => ({
  'MIME-Version': '1.0',
  'Content-Type': 'multipart/mixed; boundary=b',
  text: `${all.join('')}--b--`,
});
const wrapped = (bytes: Buffer) => bytes.toString('base64').replace(/(.{76})/g, '$1\n');
const file = (name: string, bytes: Buffer, type = 'application/octet-stream') =>
  part(
    `Content-Type: ${type}\nContent-Disposition: attachment; filename="${name}"\nContent-Transfer-Encoding: base64`,
    wrapped(bytes),
  );

async function bytesAt(url: string, key?: string) {
  const response = await fetch(url, key === undefined ? {} : { headers: { 'x-api-key': key } });
  return {
    status: response.status,
    headers: response.headers,
    bytes: Buffer.from(await response.arrayBuffer()),
  };
}

test('files are listed with their size, and come as they were sent', async () => {
  const { id: box, address } = await api.mailbox('files@ours.example', 'gated_send');
  const big = Buffer.from(Array.from({ length: 3_000_001 }, (_, n) => (n * 7919) & 0xff));
  const id = await api.receive(
    { address },
    parts(
      part('Content-Type: text/plain', 'see the files'),
      file('report.pdf', Buffer.from('%PDF-1.7'), 'application/pdf'),
      file('report.pdf', Buffer.from('second'), 'application/pdf'),
      part(
        'Content-Type: text/csv; charset=utf-8; name=t.csv\nContent-Transfer-Encoding: quoted-printable',
        'a=3Db;=\nc=C3=A4',
      ),
      file('../../etc/passwd', Buffer.from('x')),
      part('Content-Type: text/html; name=page.html', '<script>alert(1)</script>'),
      file('big.bin', big),
    ),
  );
  const email = (await api.call('GET', `/v1/mailboxes/${box}/emails/${id}`, { key: api.keys.agent })).json;
  expect(email).toMatchObject({ has_attachments: true, markdown: 'see the files' });
  expect(email.attachments).toEqual([
    { name: 'report.pdf', size: 8, content_type: 'application/pdf' },
    { name: 'report (2).pdf', size: 6, content_type: 'application/pdf' },
    { name: 't.csv', size: 7, content_type: 'text/csv' },
    { name: '.._.._etc_passwd', size: 1, content_type: 'application/octet-stream' },
    { name: 'page.html', size: 25, content_type: 'text/html' },
    { name: 'big.bin', size: big.length, content_type: 'application/octet-stream' },
  ]);
  const path = `${api.url}/v1/mailboxes/${box}/emails/${id}/attachments`;
  const get = (name: string) => bytesAt(`${path}/${encodeURIComponent(name)}`, api.keys.agent);
  expect((await get('report.pdf')).bytes.toString()).toBe('%PDF-1.7');
  expect((await get('report (2).pdf')).bytes.toString()).toBe('second');
  const csv = await get('t.csv');
  expect(csv.bytes.toString()).toBe('a=b;cä');
  expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect((await get('big.bin')).bytes.equals(big)).toBe(true);
  const page = await get('page.html');
  expect(page.headers.get('content-disposition')).toBe(
    `attachment; filename="page.html"; filename*=UTF-8''page.html`,
  );
  expect(page.headers.get('x-content-type-options')).toBe('nosniff');
  expect((await get('other.pdf')).status).toBe(404);
  expect((await bytesAt(`${path}/report.pdf`)).status).toBe(401);
});

test('a link needs no key, and ends, and cannot be bent to another file', async () => {
  const { id: box, address } = await api.mailbox('links@ours.example', 'gated_send');
  const id = await api.receive(
    { address },
    parts(file('a.txt', Buffer.from('A')), file('b.txt', Buffer.from('B'))),
  );
  const path = `/v1/mailboxes/${box}/emails/${id}/attachments/a.txt/url`;
  const { json } = await api.call('GET', path, { key: api.keys.agent });
  expect(json).toMatchObject({
    filename: 'a.txt',
    size_bytes: 1,
    content_type: 'application/octet-stream',
    expires_in: 3600,
  });
  const token = new URL(json.url).pathname;
  const follow = (path: string) => bytesAt(`${api.url}${path}`);
  expect((await follow(token)).bytes.toString()).toBe('A');
  const [, file1, until, signature] = token.split('.') as [string, string, string, string];
  const bent = [
    token.replace(`.${file1}.`, '.1.'),
    token.replace(until, String(Number(until) + 1)),
    token.replace(until, '1'),
    token.replace(
      signature,
      signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')),
    ),
    token.slice(0, -1),
    '/v1/attachments/x',
  ];
  for (const path of bent) expect(`${path} ${(await follow(path)).status}`).toBe(`${path} 403`);
  await api.call('POST', `/v1/emails/${id}/report-spam`, { key: api.keys.agent });
  expect((await follow(token)).status).toBe(403);
});

test('a small file is given in base64, a large one as a link', async () => {
  const { address } = await api.mailbox('download@ours.example', 'gated_send');
  const large = Buffer.alloc(50_001, 'x');
  const id = await api.receive({ address }, parts(file('s.txt', Buffer.from('small')), file('l.txt', large)));
  const get = async (filename: string) =>
    (
      await api.call('GET', `/v1/download_attachment?email_id=${id}&filename=${filename}`, {
        key: api.keys.agent,
      })
    ).json;
  expect(await get('s.txt')).toEqual({
    filename: 's.txt',
    content_type: 'application/octet-stream',
    size_bytes: 5,
    content_base64: Buffer.from('small').toString('base64'),
  });
  const linked = await get('l.txt');
  expect(linked).toMatchObject({ size_bytes: 50_001, expires_in_seconds: 3600, note: expect.any(String) });
  expect(linked).not.toHaveProperty('content_base64');
  const { bytes } = await bytesAt(`${api.url}${new URL(linked.download_url).pathname}`);
  expect(bytes.equals(large)).toBe(true);
});

test('files of mail that waits for a reviewer are kept from an agent', async () => {
  const { id: box, address } = await api.mailbox('held@ours.example', 'gated_all');
  const id = await api.receive({ address }, parts(file('a.txt', Buffer.from('A'))));
  for (const path of ['', '/url'])
    expect(
      await api.call('GET', `/v1/mailboxes/${box}/emails/${id}/attachments/a.txt${path}`, {
        key: api.keys.agent,
      }),
    ).toMatchObject({ status: 403, json: { code: 'held_for_approval' } });
});

test('mail stored before files were noted at the door is read all the same', async () => {
  const { id: box, address } = await api.mailbox('older@ours.example', 'gated_send');
  const id = await api.receive(
    { address },
    parts(part('Content-Type: text/plain', 'old text'), file('a.txt', Buffer.from('A'))),
  );
  await api.runtime.database.pool.query(
    `update messages set facts = facts - 'attachments' - 'texts' where id = $1`,
    [id],
  );
  const email = (await api.call('GET', `/v1/mailboxes/${box}/emails/${id}`, { key: api.keys.agent })).json;
  expect(email).toMatchObject({
    has_attachments: true,
    attachments: [{ name: 'a.txt', size: 1 }],
    markdown: 'old text',
  });
  const got = await bytesAt(`${api.url}/v1/mailboxes/${box}/emails/${id}/attachments/a.txt`, api.keys.agent);
  expect(got.bytes.toString()).toBe('A');
});
