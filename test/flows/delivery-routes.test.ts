/** Terms a route insists on, and what becomes of its mail while the next hop does not meet them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Certificate, loadCertificate } from '../../core/runtime/certificate.ts';
import { resumeRoute } from '../../core/store/overview.ts';
import { type Delivery, HASTY, startTestDelivery } from '../support/delivery.ts';
import { type NextHop, type Script, startNextHop } from '../support/next-hop.ts';
import { freePort } from '../support/redis.ts';

let delivery: Delivery;
let hop: NextHop;
let folder: string;
let certificate: Certificate;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-hop-'));
  certificate = await loadCertificate({ hostname: 'hop.example', tls: {} }, folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(async () => {
  await delivery?.close();
  await hop?.close();
});

type Terms = Record<string, unknown>;

async function relayThrough(script: Script, terms: Terms, options = HASTY): Promise<void> {
  hop = await startNextHop(script);
  const route = { type: 'smarthost', host: '127.0.0.1', port: hop.port, ...terms };
  delivery = await startTestDelivery({ default_route: 'hop', routes: { hop: route } }, options);
}

async function send(): Promise<string> {
  const id = await delivery.queue();
  delivery.ring(id);
  return id;
}

const trusted = () => ({ tls: 'required', ca_file: certificate.ca_file });
const withPassword = { username: 'ana', password: 'canary-secret' };
const login = { user: 'ana', password: 'canary-secret' };

async function pausedFor(id: string): Promise<string> {
  const [paused] = await delivery.until(async () => {
    const rows = await delivery.sql<{ reason: string }>('select reason from paused_routes');
    return rows.length > 0 && rows;
  });
  await delivery.reaches(id, 'queued');
  expect(
    await delivery.sql(`select action, resource_type from audit_events where resource_id = 'hop'`),
  ).toEqual([{ action: 'route.paused', resource_type: 'route' }]);
  expect(JSON.stringify(delivery.log)).not.toContain('canary-secret');
  return paused!.reason;
}

test('mail crosses verified TLS, with a login', async () => {
  await relayThrough({ starttls: certificate, auth: login }, { ...trusted(), ...withPassword });
  await delivery.reaches(await send(), 'relayed');
  expect(hop.taken[0]!.tls).toBe(true);
  expect(hop.heard.some((line) => line.startsWith('AUTH'))).toBe(true);
});

test.each<[string, () => Script, () => Terms, RegExp]>([
  [
    'T-14: a certificate nobody vouches for',
    () => ({ starttls: certificate, auth: login }),
    () => ({ tls: 'required', ...withPassword }),
    /TLS/,
  ],
  [
    'a certificate nobody vouches for, and no password',
    () => ({ starttls: certificate }),
    () => ({ tls: 'required' }),
    /TLS/,
  ],
  [
    'T-14: a certificate for another host',
    () => ({ starttls: certificate, auth: login }),
    () => ({ ...trusted(), servername: 'other.example', ...withPassword }),
    /TLS/,
  ],
  [
    'no STARTTLS where TLS is required',
    () => ({ auth: login }),
    () => ({ ...trusted(), ...withPassword }),
    /TLS/,
  ],
  [
    'T-15: a login that is offered before TLS only',
    () => ({ starttls: certificate, auth: { ...login, offered: 'before-tls' } }),
    () => ({ ...trusted(), ...withPassword }),
    /offers no login/,
  ],
  [
    'a password over opportunistic TLS that is not there',
    () => ({ auth: login }),
    () => ({ tls: 'opportunistic', ...withPassword }),
    /without verified TLS/,
  ],
  [
    'T-14: a password over opportunistic TLS that nobody vouches for',
    () => ({ starttls: certificate, auth: login }),
    () => ({ tls: 'opportunistic', ...withPassword }),
    /TLS/,
  ],
])('%s: nothing is sent, the route waits, its mail is kept', async (_what, script, terms, reason) => {
  await relayThrough(script(), terms());
  const id = await send();
  expect(await pausedFor(id)).toMatch(reason);
  expect(hop.heard.filter((line) => /^(AUTH|MAIL)/.test(line))).toEqual([]);
  expect(hop.taken).toEqual([]);
});

test('opportunistic TLS without a password is used unverified, and done without where it is not offered', async () => {
  await relayThrough({ starttls: certificate }, { tls: 'opportunistic' });
  await delivery.reaches(await send(), 'relayed');
  expect(hop.taken[0]!.tls).toBe(true);
  await delivery.close();
  await hop.close();
  await relayThrough({}, { tls: 'opportunistic' });
  await delivery.reaches(await send(), 'relayed');
  expect(hop.taken[0]!.tls).toBe(false);
});

test('T-06: what is injected behind the answer to STARTTLS is never heard', async () => {
  const inject = '250-injected.example\r\n250 AUTH PLAIN\r\n250 2.0.0 fake\r\n';
  await relayThrough({ starttls: { ...certificate, inject } }, trusted());
  const id = await send();
  await delivery.until(
    async () => hop.taken.length > 0 || (await delivery.sql('select 1 from paused_routes')).length > 0,
  );
  // Dropped with the connection, or discarded: in both cases nothing but the real answers count.
  if (hop.taken.length > 0) await delivery.reaches(id, 'relayed');
  else expect((await delivery.message(id)).state).toBe('queued');
  expect(hop.heard.filter((line) => line.startsWith('AUTH'))).toEqual([]);
});

test('a refused login pauses the route; mail is kept, uses up no time, and goes on when a probe gets through', async () => {
  await relayThrough(
    { starttls: certificate, auth: { ...login, refuse: '535 5.7.8 who?' } },
    { ...trusted(), ...withPassword },
    { ...HASTY, probeSeconds: 1 },
  );
  const first = await send();
  expect(await pausedFor(first)).toMatch(/refused the login: 535 5.7.8 who\?/);
  const old = await delivery.queue({ hours: 200 });
  delivery.ring(old);
  await new Promise((go) => setTimeout(go, 200));
  expect((await delivery.message(old)).state).toBe('queued');
  expect(await delivery.runtime.metrics.registry.metrics()).toMatch(/postern_alarm\{kind="route_auth"\} 1/);

  hop.script = { ...hop.script, auth: login };
  await delivery.until(async () => {
    await delivery.sweep();
    await new Promise((go) => setTimeout(go, 100));
    return (
      (await delivery.message(first)).state === 'relayed' && (await delivery.message(old)).state === 'relayed'
    );
  });
  const audit = await delivery.sql<{ action: string }>(
    `select action from audit_events where resource_id = 'hop' order by seq`,
  );
  expect(audit.map(({ action }) => action)).toEqual(['route.paused', 'route.resumed']);
  expect(await delivery.runtime.metrics.registry.metrics()).toMatch(/postern_alarm\{kind="route_auth"\} 0/);
});

test('530 at MAIL speaks of the route, not of the message', async () => {
  await relayThrough({ mail: '530 5.7.0 Must issue a STARTTLS command first' }, { tls: 'none' });
  expect(await pausedFor(await send())).toMatch(/530/);
});

test('a person resumes a route, and what waited is sent', async () => {
  await relayThrough({ mail: ['530 5.7.0 Authentication required', '250 ok'] }, { tls: 'none' });
  const id = await send();
  await pausedFor(id);
  const actor = { type: 'user', id: null, name: 'root' } as const;
  const ids = await resumeRoute(delivery.runtime.database.pool, { name: 'hop', isDefault: true }, actor);
  await new Promise((go) => setTimeout(go, 200));
  delivery.ring(...ids!);
  await delivery.reaches(id, 'relayed');
});

test('Q-08: a dead route costs one attempt for each of a few, the others sleep, and other routes go on', async () => {
  const dead = await freePort();
  hop = await startNextHop();
  const smarthost = { type: 'smarthost', host: '127.0.0.1', tls: 'none' };
  const routes = { hop: { ...smarthost, port: hop.port }, dead: { ...smarthost, port: dead } };
  delivery = await startTestDelivery({ default_route: 'hop', routes, connections_per_host: 2 }, HASTY);
  const box = await delivery.mailbox({ route: 'dead' });
  await delivery.restart();
  const stuck = await Promise.all(Array.from({ length: 100 }, () => delivery.queue({ mailboxId: box })));
  const moving = await Promise.all(Array.from({ length: 100 }, () => delivery.queue()));
  for (const [i, id] of stuck.entries()) delivery.ring(id, moving[i]!);
  await delivery.until(async () => hop.taken.length === 100);
  await delivery.until(async () => {
    const [row] = await delivery.sql<{ n: number }>(
      `select count(*) as n from messages where mailbox_id = $1 and state = 'queued' and wake_at > now() + interval '2 seconds'`,
      [box],
    );
    return row!.n === 100;
  });
  const [attempts] = await delivery.sql<{ n: number }>(
    `select count(*) as n from attempts a join messages m on m.id = a.message_id where m.mailbox_id = $1`,
    [box],
  );
  expect(attempts!.n).toBeLessThan(20);
});

test('mail that slept through its whole time on a dead route fails, and its sender is told', async () => {
  const dead = await freePort();
  hop = await startNextHop();
  const routes = { dead: { type: 'smarthost', host: '127.0.0.1', port: dead, tls: 'none' } };
  delivery = await startTestDelivery({ default_route: 'dead', routes }, HASTY);
  for (const _ of [1, 2, 3]) {
    const id = await send();
    await delivery.until(async () => (await delivery.message(id)).attempts === 1);
  }
  const [waiting, late] = [await delivery.queue({ hours: 5 }), await delivery.queue({ hours: 121 })];
  await delivery.until(async () =>
    delivery.log.some(({ msg }) => String(msg).startsWith('next hop unreachable')),
  );
  delivery.ring(waiting, late);
  await delivery.reaches(late, 'failed');
  const subjects = await delivery.until(async () => {
    const rows = await delivery.sql<{ about_id: string; subject: string }>(
      `select about_id, subject from messages where kind = 'dsn' order by subject`,
    );
    return rows.length === 2 && rows;
  });
  expect(subjects).toEqual([
    { about_id: late, subject: 'Your message could not be delivered' },
    { about_id: waiting, subject: 'Your message is delayed' },
  ]);
  expect((await delivery.message(waiting)).attempts).toBe(0);
});

test('a mailbox whose route is not configured keeps its mail, with an alarm', async () => {
  hop = await startNextHop();
  delivery = await startTestDelivery({}, HASTY);
  const box = await delivery.mailbox({ route: 'gone' });
  await delivery.restart();
  const id = await delivery.queue({ mailboxId: box });
  delivery.ring(id);
  await delivery.until(async () => delivery.log.some(({ route }) => route === 'gone'));
  expect((await delivery.message(id)).state).toBe('queued');
});
