/**
 * npm run bench:api [-- --archive 100000 --sends 3000 --requests 200 --skip-postfix --waiters 1000 --attachment 25]
 *
 * What programs feel: sends a second by REST (a 202 is a commit), beside Postfix taking the same mail by SMTP in
 * the same run; then how long lists, reads and the audit log take with 100,000 stored messages, beside the
 * plainest authenticated request. Needs Debian's postfix for its smtp-source, smtp-sink and itself as the peer.
 */
import { Agent, request } from 'node:http';
import { parseArgs } from 'node:util';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { runningPostgres } from '../../core/runtime/embedded-postgres.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import { openDatabase } from '../../core/store/database.ts';
import { createKey } from '../../core/store/keys.ts';
import { fillArchive } from './archive.ts';
import { attachment } from './attachment.ts';
import { quantile } from './latency.ts';
import { run, startSink } from './load.ts';
import { startPostern } from './postern.ts';
import { startPostfix } from './postfix.ts';
import { cpuSeconds, ownCpuSeconds, until } from './processes.ts';
import { waiters } from './waiters.ts';

const { values: options } = parseArgs({
  options: {
    archive: { type: 'string', default: '100000' },
    sends: { type: 'string', default: '3000' },
    sessions: { type: 'string', default: '10' },
    requests: { type: 'string', default: '200' },
    'skip-postfix': { type: 'boolean', default: false },
    waiters: { type: 'string', default: '0' },
    attachment: { type: 'string', default: '0' },
  },
});

const SINK = 2612;
const HTTP = 2583;
const MX = 2531;
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const postern = await startPostern('postgres', { trusted: 2530, http: HTTP, redis: 2580, mx: MX }, SINK);
const database = openDatabase({ url: runningPostgres(postern.dataDir)!, poolSize: 2 });
try {
  const key = await createKey(
    database.pool,
    { name: 'bench', scopes: ['admin'], principal: { kind: 'agent', name: 'bench' } },
    'live',
    system('cli'),
  );
  const mailbox = (await findMailbox(database.pool, 'sender@bench.example'))!;
  if (Number(options.sends) > 0) await sends(key.apiKey);
  if (Number(options.waiters) > 0) await manyWait(Number(options.waiters));
  if (Number(options.attachment) > 0) await largeFile(key.apiKey, Number(options.attachment));
  const principalId = newId();
  await database.pool.query(`insert into principals (id, kind, name) values ($1, 'agent', 'reporter')`, [
    principalId,
  ]);
  await fillArchive(database.pool, { mailboxId: mailbox.id, principalId, messages: Number(options.archive) });
  if (Number(options.archive) > 0) await reads(key.apiKey, mailbox.id);
} finally {
  agent.destroy();
  await database.close();
  await postern.close();
}

async function manyWait(count: number): Promise<void> {
  const keys: string[] = [];
  for (let n = 0; n < count; n += 8) {
    const principal = { kind: 'agent' as const, name: `waiter ${n}` };
    const made = await createKey(
      database.pool,
      { name: `waiter ${n}`, scopes: ['read'], principal },
      'live',
      system('cli'),
    );
    keys.push(made.apiKey);
  }
  const arrived = async () => {
    const { rows } = await database.pool.query(
      `select count(*) as n from messages where direction = 'inbound' and state = 'available'`,
    );
    return rows[0].n as number;
  };
  const told = await waiters({ count, mails: 100, pid: postern.pids[0]!, http: HTTP, mx: MX, keys, arrived });
  console.log(JSON.stringify(told));
}

async function largeFile(apiKey: string, megabytes: number): Promise<void> {
  const sink = await startSink(SINK);
  try {
    const relayed = () => sink.count();
    console.log(
      JSON.stringify(await attachment({ megabytes, pid: postern.pids[0]!, http: HTTP, apiKey, relayed })),
    );
  } finally {
    await sink.close();
  }
}

async function sends(apiKey: string): Promise<void> {
  const count = Number(options.sends);
  const sink = await startSink(SINK);
  try {
    await sendMany(apiKey, 300, 'warm');
    await until('the warm-up at the sink', () => sink.count() >= 300, 60);
    const cpu = cpuSeconds(postern.pids);
    const own = ownCpuSeconds(postern.pids[0]!);
    const began = performance.now();
    await sendMany(apiKey, count, 'run');
    const accepted = performance.now();
    await until('all of it at the sink', () => sink.count() >= 300 + count, 120);
    const line: Record<string, unknown> = {
      sends: 'REST, 202 after commit',
      perSecond: round(count / ((accepted - began) / 1000)),
      drainedPerSecond: round(count / ((performance.now() - began) / 1000)),
      cpuPer1000: round(((cpuSeconds(postern.pids) - cpu) / count) * 1000),
      ofNode: round(((ownCpuSeconds(postern.pids[0]!) - own) / count) * 1000),
    };
    if (!options['skip-postfix']) {
      const postfix = await startPostfix(2529, SINK);
      try {
        const load = { messages: count, size: 2048, sessions: Number(options.sessions), keep: true };
        await run(postfix, { ...load, messages: 300 }, sink);
        const peer = await run(postfix, load, sink);
        line.postfixAccepted = round(peer.acceptedPerSecond);
        line.ratio = round((line.perSecond as number) / peer.acceptedPerSecond);
      } finally {
        await postfix.close();
      }
    }
    console.log(JSON.stringify(line));
  } finally {
    await sink.close();
  }
}

async function sendMany(apiKey: string, count: number, label: string): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let n = next++; n < count; n = next++) {
      const { status, text } = await ask(apiKey, 'POST', '/v1/mailboxes/sender@bench.example/send', {
        to: ['rcpt@bench.example'],
        subject: `Deployment ${label} ${n}`,
        markdown: `Deployment **${n}** completed.\n\n${'- check: PASS\n'.repeat(60)}`,
        tags: ['deploy'],
      });
      if (status !== 202) throw new Error(`not sent: ${status} ${text}`);
    }
  };
  await Promise.all(Array.from({ length: Number(options.sessions) }, worker));
}

async function reads(apiKey: string, mailboxId: string): Promise<void> {
  const box = `/v1/mailboxes/${mailboxId}/emails`;
  const page = JSON.parse((await ask(apiKey, 'GET', `${box}?limit=100`)).text);
  const middle = await deepCursor(apiKey, box);
  const id = page.emails[50].id;
  const cases: [string, string][] = [
    ['the plainest request', '/v1/mailboxes'],
    ['check_inbox', box],
    ['check_inbox, 100', `${box}?limit=100`],
    ['check_inbox, unread', `${box}?status=unread`],
    ['check_inbox, since_id', `${box}?since_id=${id}`],
    ['check_inbox, next page', `${box}?cursor=${middle}`],
    ['check_inbox, subject', `${box}?subject_contains=${encodeURIComponent('service 96')}`],
    ['check_inbox, rare sender', `${box}?sender=${encodeURIComponent('sender499@host49')}`],
    ['check_inbox, rare tag', `${box}?tag=incident-7`],
    ['check_inbox, nothing found', `${box}?subject_contains=nowhere-to-be-found`],
    ['read_email', `/v1/mailboxes/${mailboxId}/emails/${id}`],
    ['audit_log', '/v1/audit-log'],
    ['audit_log, rare tag', '/v1/audit-log?tag=incident-7'],
    ['audit_log, common tag', '/v1/audit-log?tag=deploy'],
    ['audit_log, no such tag', '/v1/audit-log?tag=nowhere'],
    ['audit_log, agent', '/v1/audit-log?agent=reporter'],
    ['audit_log, message', `/v1/audit-log?message_id=${id}`],
  ];
  let plainest = 1;
  for (const [name, path] of cases) {
    const times: number[] = [];
    for (let n = 0; n < Number(options.requests) + 20; n++) {
      const began = performance.now();
      const { status, text } = await ask(apiKey, 'GET', path);
      if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
      if (n >= 20) times.push(performance.now() - began);
    }
    const [p50, p95] = [quantile(times, 0.5), quantile(times, 0.95)];
    if (name === cases[0]![0]) plainest = p50;
    console.log(
      JSON.stringify({ read: name, p50Ms: round(p50), p95Ms: round(p95), ratio: round(p50 / plainest) }),
    );
  }
}

async function deepCursor(apiKey: string, box: string): Promise<string> {
  let cursor = '';
  for (let n = 0; n < 20; n++)
    cursor = JSON.parse(
      (await ask(apiKey, 'GET', `${box}?limit=100${cursor && `&cursor=${cursor}`}`)).text,
    ).cursor;
  return cursor;
}

function ask(
  apiKey: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const sent = request({ host: '127.0.0.1', port: HTTP, method, path, agent, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () =>
        resolve({ status: response.statusCode!, text: Buffer.concat(parts).toString() }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}
