import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWaiting } from '../../api/reading/waiting.ts';
import { system } from '../../core/mail/actor.ts';
import { revokeKey, updateKey } from '../../core/store/keys.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const pause = (ms: number) => new Promise((go) => setTimeout(go, ms));
const wait = (mailbox: string, query = '', key = api.keys.agent) =>
  api.call('GET', `/v1/wait_for_email?mailbox_id=${mailbox}&timeout_seconds=20${query}`, { key });
const found = ({ json }: { json: { found: boolean; emails?: { id: string }[] } }) => ({
  found: json.found,
  ids: json.emails?.map(({ id }) => id),
});

test('who waits is told of mail as it arrives, and not of mail that was there before', async () => {
  const { id: box, address } = await api.mailbox('wait@ours.example', 'gated_send');
  await api.receive({ address });
  const waiting = wait(box);
  await pause(300);
  const id = await api.receive({ address }, { text: 'The code is 123456.' });
  const told = await waiting;
  expect(found(told)).toEqual({ found: true, ids: [id] });
  expect(told.text).not.toContain('123456');
});

test('a key that is revoked, or loses its scope, while it waits is told of nothing', async () => {
  const { id: box, address } = await api.mailbox('ending@ours.example', 'gated_send');
  const ended = await api.key({ scopes: ['read'] });
  const narrowed = await api.key({ scopes: ['read', 'send'] });
  const waits = [wait(box, '', ended.apiKey), wait(box, '', narrowed.apiKey), wait(box)];
  await pause(300);
  const db = api.runtime.database.pool;
  await revokeKey(db, ended.id, system('cli'));
  await updateKey(db, narrowed.id, { scopes: ['send'] }, system('cli'));
  const id = await api.receive({ address });
  const [one, two, three] = await Promise.all(waits);
  for (const told of [one!, two!]) expect(found(told)).toEqual({ found: false, ids: undefined });
  expect(found(three!)).toEqual({ found: true, ids: [id] });
});

test('a filter lets pass what it is not about, in whatever form it is given', async () => {
  const { id: box, address } = await api.mailbox('choosy@ours.example', 'gated_send');
  const waits = [
    wait(box, '&sender=BANK.example'),
    wait(box, '&subject_contains=your%20code'),
    wait(box, `&${encodeURIComponent('filter[sender]')}=bank.example`),
    api.call('POST', '/v1/wait_for_email', {
      key: api.keys.agent,
      body: { mailbox_id: box, timeout_seconds: 20, filter: { sender: 'bank', subject_contains: 'code' } },
    }),
  ];
  await pause(300);
  await api.receive({ address });
  const id = await api.receive({ address }, { from: 'bank@bank.example', subject: 'Your code' });
  for (const one of await Promise.all(waits)) expect(found(one)).toEqual({ found: true, ids: [id] });
});

test('mail that a reviewer lets in, or that is cleared of spam, ends a wait then', async () => {
  const strict = await api.mailbox('strict@ours.example', 'gated_all');
  const open = await api.mailbox('open@ours.example', 'gated_send');
  const spam = await api.receive(open);
  await api.call('POST', `/v1/emails/${spam}/report-spam`, { key: api.keys.agent });
  const waits = [wait(strict.id), wait(open.id)];
  await pause(300);
  const held = await api.receive(strict);
  await api.call('POST', '/v1/oversight/decide', {
    key: api.keys.reviewer,
    body: { email_id: held, action: 'approve' },
  });
  await api.call('POST', `/v1/emails/${spam}/not-spam`, { key: api.keys.agent });
  const [first, second] = await Promise.all(waits);
  expect(found(first!)).toEqual({ found: true, ids: [held] });
  expect(found(second!)).toEqual({ found: true, ids: [spam] });
});

test('a wait without mail ends by saying so', async () => {
  const { id: box } = await api.mailbox('quiet@ours.example', 'gated_send');
  const path = `/v1/wait_for_email?mailbox_id=${box}&timeout_seconds=1`;
  const { json } = await api.call('GET', path, { key: api.keys.agent });
  expect(json).toEqual({ found: false, timeout: true, waited_seconds: 5 });
});

test('a key waits eight times at once, and another key is not hindered', async () => {
  const { id: box, address } = await api.mailbox('many@ours.example', 'gated_send');
  const waits = Array.from({ length: 8 }, () => wait(box));
  await pause(300);
  const ninth = await wait(box);
  expect(ninth).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
  expect(ninth.headers.get('retry-after')).toMatch(/^\d+$/);
  const other = wait(box, '', api.keys.admin);
  await pause(300);
  await api.receive({ address });
  for (const one of await Promise.all([...waits, other])) expect(one.json.found).toBe(true);
  const again = wait(box);
  await pause(300);
  await api.receive({ address });
  expect((await again).json.found).toBe(true);
});

test('who goes away is waited for no longer', async () => {
  const { id: box, address } = await api.mailbox('gone@ours.example', 'gated_send');
  const leave = new AbortController();
  const url = `${api.url}/v1/wait_for_email?mailbox_id=${box}&timeout_seconds=20`;
  const waits = Array.from({ length: 8 }, () =>
    fetch(url, { headers: { 'x-api-key': api.keys.agent }, signal: leave.signal }).catch(() => 'left'),
  );
  await pause(300);
  leave.abort();
  expect(await Promise.all(waits)).toEqual(Array(8).fill('left'));
  await pause(300);
  const next = wait(box);
  await pause(300);
  await api.receive({ address });
  expect((await next).status).toBe(200);
});

test('mail that nobody was told of is found when we listen again, and before a wait gives up', async () => {
  const { id: mailboxId, address } = await api.mailbox('deaf@ours.example', 'gated_send');
  const { database, log } = api.runtime;
  const again: (() => void)[] = [];
  const deaf = {
    on: () => () => {},
    onReconnect: (handler: () => void) => {
      again.push(handler);
      return () => {};
    },
    ready: async () => {},
    close: async () => {},
  };
  const waiting = openWaiting({ database, log, listening: deaf });
  const begin = (milliseconds: number) =>
    waiting.wait({ mailboxId, fits: () => true, milliseconds, gone: new AbortController().signal });
  const [long, short] = [begin(20_000), begin(1_500)];
  await pause(200);
  const id = await api.receive({ address });
  expect((await short).map((one) => one.id)).toEqual([id]);
  for (const handler of again) handler();
  expect((await long).map((one) => one.id)).toEqual([id]);
  const last = begin(20_000);
  await pause(200);
  waiting.close();
  expect(await last).toEqual([]);
});
