/** What one large attachment costs on its way in by REST and out again: the most memory the process ever held. */
import { randomBytes } from 'node:crypto';
import { memory, until } from './processes.ts';

export interface Large {
  megabytes: number;
  pid: number;
  http: number;
  apiKey: string;
  relayed(): number;
}

export async function attachment({ megabytes, pid, http, apiKey, relayed }: Large): Promise<object> {
  const url = `http://127.0.0.1:${http}/v1/mailboxes/sender@bench.example`;
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  const content = randomBytes(megabytes << 20).toString('base64');
  const idle = memory(pid).now;
  const had = relayed();
  const began = performance.now();
  const sent = await fetch(`${url}/send`, {
    method: 'POST',
    headers,
    body: JSON.stringify({
      to: ['rcpt@bench.example'],
      subject: 'A large file',
      markdown: 'See below.',
      attachments: [{ name: 'file.bin', content_base64: content, content_type: 'application/octet-stream' }],
    }),
  });
  const { id } = (await sent.json()) as { id: string };
  if (sent.status !== 202) throw new Error(`not sent: ${sent.status}`);
  const accepted = performance.now() - began;
  await until('the message at the sink', () => relayed() > had, 120);
  const afterSend = memory(pid).most;
  const from = performance.now();
  const got = await fetch(`${url}/emails/${id}/attachments/file.bin`, { headers });
  const bytes = (await got.arrayBuffer()).byteLength;
  if (got.status !== 200 || bytes !== megabytes << 20)
    throw new Error(`not got: ${got.status}, ${bytes} bytes`);
  return {
    attachmentMegabytes: megabytes,
    acceptedMs: Math.round(accepted),
    downloadMs: Math.round(performance.now() - from),
    idleMegabytes: idle,
    mostAfterSend: afterSend,
    mostAfterDownload: memory(pid).most,
  };
}
