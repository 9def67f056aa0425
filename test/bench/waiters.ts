/** What it costs that many programs wait for mail: memory and CPU while mail comes in that fits none of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { memory, ownCpuSeconds, pause, until } from './processes.ts';

export interface Waits {
  count: number;
  mails: number;
  pid: number;
  http: number;
  mx: number;
  /** One for each eight waits: more no key may have. */
  keys: string[];
  /** How much mail has come in. */
  arrived(): Promise<number>;
}

export async function waiters(waits: Waits): Promise<object> {
  await receive(waits);
  const idle = memory(waits.pid).now;
  const alone = await receive(waits);
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const before = ownCpuSeconds(waits.pid);
  const open = Array.from({ length: waits.count }, (_, n) =>
    get({
      host: '127.0.0.1',
      port: waits.http,
      agent,
      path: '/v1/wait_for_email?timeout_seconds=120&sender=nobody@nowhere.example',
      headers: { authorization: `Bearer ${waits.keys[n % waits.keys.length]}` },
    }),
  );
  let ended = 0;
  for (const one of open)
    one
      .on('error', () => {})
      .on('response', (response) => {
        ended += 1;
        response.resume();
      });
  await pause(5_000);
  const began = ownCpuSeconds(waits.pid) - before;
  const waiting = memory(waits.pid).now;
  const among = await receive(waits);
  if (ended > 0) throw new Error(`${ended} waits ended early`);
  for (const one of open) one.destroy();
  agent.destroy();
  return {
    waiters: waits.count,
    kilobytesEach: Math.round(((waiting - idle) * 1024) / waits.count),
    cpuMsToBegin: (began * 1000) / waits.count,
    cpuMsAMail: alone,
    cpuMsAMailAmongThem: among,
  };
}

/** CPU milliseconds of Postern's own process for each mail that comes in. */
async function receive({ mails, pid, mx, arrived }: Waits): Promise<number> {
  const had = await arrived();
  const cpu = ownCpuSeconds(pid);
  const source = spawn(
    '/usr/sbin/smtp-source',
    [
      '-4',
      '-m',
      `${mails}`,
      '-s',
      '2',
      '-l',
      '2048',
      '-f',
      'a@remote.example',
      '-t',
      'sender@bench.example',
      `127.0.0.1:${mx}`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const [code] = await once(source, 'exit');
  if (code !== 0) throw new Error('smtp-source failed');
  await until('the mail in the mailbox', async () => (await arrived()) >= had + mails, 60);
  await pause(1_000);
  return ((ownCpuSeconds(pid) - cpu) * 1000) / mails;
}
