import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unsubscribeToken } from '../../core/mail/unsubscribe-token.ts';
import { readAccount } from '../../core/store/account.ts';
import { openSuppressed } from '../../core/store/suppressed.ts';
import { removeSuppression, suppress, suppressedAmong } from '../../core/store/suppressions.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { startTestDelivery } from '../support/delivery.ts';
import { dialogue } from '../support/dialogue.ts';
import { PASSWORD, testGateway } from '../support/gateway.ts';

const TEST = { type: 'system', id: null, name: 'test' } as const;

describe('by API', () => {
  let api: TestApi;
  let mailboxId: string;
  beforeAll(async () => {
    api = await startTestApi();
    mailboxId = (await api.mailbox('agent@ours.example', 'gated_send')).id;
  });
  afterAll(() => api?.close());

  const admin = () => ({ key: api.keys.admin });
  const pool = () => api.runtime.database.pool;
  const tokenFor = async (address: string) =>
    unsubscribeToken((await readAccount(pool())).secret, { mailboxId, address });
  const list = async () => (await api.call('GET', '/v1/suppression', admin())).json.suppressions;

  test('looking at the link changes nothing; posting its form suppresses the address, twice as once', async () => {
    const link = `/v1/unsubscribe/${await tokenFor('ana@remote.example')}`;
    for (const method of ['GET', 'HEAD']) expect((await api.call(method, link)).status).toBe(200);
    const page = await api.call('GET', link);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.text).toContain('<form method="post">');
    expect(await list()).toEqual([]);

    const form = {
      body: 'List-Unsubscribe=One-Click',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    };
    for (let times = 0; times < 2; times++) {
      const done = await api.call('POST', link, form);
      expect([done.status, done.text.includes('unsubscribed')]).toEqual([200, true]);
    }
    expect(await list()).toEqual([
      {
        id: expect.stringMatching(/^[0-9A-Z]{26}$/),
        email_address: 'ana@remote.example',
        reason: 'unsubscribe',
        mailbox_id: mailboxId,
        created_at: expect.stringMatching(/Z$/),
      },
    ]);
    const audit = await api.call('GET', '/v1/audit-log?action=suppression.*', admin());
    expect(audit.json.entries).toHaveLength(1);
    expect((await api.call('GET', link)).text).not.toContain('<form');
  });

  test('a form in parts is taken as RFC 8058 wants it, JSON is too, and no other operation takes a form', async () => {
    const body =
      '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n';
    const multipart = { body, headers: { 'content-type': 'multipart/form-data; boundary=x' } };
    const done = await api.call(
      'POST',
      `/v1/unsubscribe/${await tokenFor('parts@remote.example')}`,
      multipart,
    );
    expect(done.status).toBe(200);
    expect(await suppressedAmong(pool(), ['parts@remote.example'])).toEqual(['parts@remote.example']);
    const link = `/v1/unsubscribe/${await tokenFor('json@remote.example')}`;
    expect((await api.call('POST', link, { body: {} })).status).toBe(200);
    const form = {
      ...admin(),
      body: 'email=a@b.example',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    };
    expect((await api.call('POST', '/v1/contacts', form)).json.code).toBe('unsupported_media_type');
  });

  test('a link that was changed, or made elsewhere, is a page that says so', async () => {
    const token = await tokenFor('eve@remote.example');
    const forged = unsubscribeToken(Buffer.alloc(32), { mailboxId, address: 'eve@remote.example' });
    const other = unsubscribeToken(Buffer.alloc(32), { mailboxId, address: 'x@y.example' });
    const mixed = `${other.split('.')[0]}.${token.split('.')[1]}`;
    for (const bad of [forged, mixed, `${token}x`, `${token}.x`, token.slice(0, -1), 'x', 'a.b'])
      for (const method of ['GET', 'POST']) {
        const refused = await api.call(method, `/v1/unsubscribe/${bad}`);
        expect([bad, method, refused.status, refused.text.startsWith('<!doctype html>')]).toEqual([
          bad,
          method,
          404,
          true,
        ]);
      }
    expect(await suppressedAmong(pool(), ['eve@remote.example', 'x@y.example'])).toEqual([]);
  });

  test('an address in the page is text, whatever it holds', async () => {
    const page = await api.call('GET', `/v1/unsubscribe/${await tokenFor("<b>&'@remote.example")}`);
    expect(page.text).toContain('&#60;b&#62;&#38;&#39;@remote.example');
    expect(page.text).not.toContain('<b>');
  });

  test('an address is let have mail again, named percent-encoded or raw, whatever its case', async () => {
    for (const address of ['a+b@lifted.example', 'c@lifted.example'])
      await suppress(pool(), { address, reason: 'hard_bounce' }, TEST);
    const lift = (path: string) => api.call('DELETE', `/v1/suppression/${path}`, admin());
    const lifted = await lift(encodeURIComponent('A+B@LIFTED.example'));
    expect(lifted.json).toEqual({ status: 'removed', email_address: 'a+b@lifted.example' });
    expect((await lift('c@lifted.example')).status).toBe(200);
    for (const path of ['c@lifted.example', 'nobody', '%20'])
      expect((await lift(path)).json.code, path).toBe('not_found');
    expect(await suppressedAmong(pool(), ['a+b@lifted.example', 'c@lifted.example'])).toEqual([]);
  });

  test('the list is paged newest first, and for admins alone', async () => {
    for (let n = 0; n < 3; n++)
      await suppress(pool(), { address: `p${n}@paged.example`, reason: 'manual' }, TEST);
    const first = (await api.call('GET', '/v1/suppression?limit=2', admin())).json;
    expect(first.suppressions.map((one: { email_address: string }) => one.email_address)).toEqual([
      'p2@paged.example',
      'p1@paged.example',
    ]);
    const next = (await api.call('GET', `/v1/suppression?limit=1&cursor=${first.cursor}`, admin())).json;
    expect(next.suppressions[0].email_address).toBe('p0@paged.example');
    const refused = await api.call('GET', '/v1/suppression', { key: api.keys.agent });
    expect([refused.status, refused.json.code]).toEqual([403, 'scope_missing']);
  });
});

test('who is suppressed is known without a question, and changes are told in passing', async () => {
  const api = await startTestApi();
  try {
    const { database, listening } = api.runtime;
    let asked = 0;
    const db = {
      query(...given: [never]) {
        asked += 1;
        return database.pool.query(...given);
      },
    };
    await suppress(database.pool, { address: 'Before@remote.example', reason: 'complaint' }, TEST);
    const suppressed = openSuppressed(db as never, listening);
    const reason = async (address: string) => (await suppressed.among([address])).get(address);
    expect(await reason('before@remote.example')).toBe('complaint');
    await until(() => !(suppressed.among(['x@remote.example']) instanceof Promise));

    const before = asked;
    await suppress(database.pool, { address: 'after@remote.example', reason: 'unsubscribe' }, TEST);
    await until(async () => (await reason('AFTER@remote.example')) === 'unsubscribe');
    await removeSuppression(database.pool, 'before@remote.example', TEST);
    await until(async () => (await reason('before@remote.example')) === undefined);
    expect(asked).toBe(before);

    const full = openSuppressed(db as never, listening, { most: 0 });
    expect(await full.among(['after@remote.example'])).toEqual(
      new Map([['after@remote.example', 'unsubscribe']]),
    );
    await new Promise((go) => setTimeout(go, 50));
    expect(full.among(['after@remote.example'])).toBeInstanceOf(Promise);
  } finally {
    await api.close();
  }
});

test('RCPT refuses a suppressed recipient and says why; the others get the message', async () => {
  const gateway = await testGateway({
    submission: { allow_plaintext_auth_from_loopback: true },
    trusted: {
      enabled: true,
      networks: [{ name: 'here', cidrs: ['127.0.0.0/8'], mailbox: 'agent@ours.example' }],
    },
  });
  try {
    const { pool } = gateway.runtime.database;
    await gateway.login('agent', await gateway.mailbox('agent@ours.example'));
    await suppress(pool, { address: 'gone@remote.example', reason: 'unsubscribe' }, TEST);
    const rest = `
      S: 250
      C: MAIL FROM:<agent@ours.example>
      S: 250
      C: RCPT TO:<Gone@REMOTE.example>
      S: 550 5.7.1 Recipient suppressed: it unsubscribed
      C: RCPT TO:<ana@remote.example>
      S: 250
      C: DATA
      S: 354
      C: From: agent@ours.example
      C:
      C: hello
      C: .
      S: 250`;
    await dialogue(
      gateway.ports.submission,
      `S: 220\nC: EHLO client.example\nS: 250\nC64: agent ${PASSWORD}\nS: 235\nC: RSET\n${rest}`,
    );
    await dialogue(gateway.ports.trusted, `S: 220\nC: EHLO client.example\n${rest}`);
    expect((await gateway.messages()).map(({ forwardPaths }) => forwardPaths)).toEqual([
      ['ana@remote.example'],
      ['ana@remote.example'],
    ]);
  } finally {
    await gateway.close();
  }
});

test('who was suppressed while a message waited is left out at the hand-over, and fails for that reason', async () => {
  const delivery = await startTestDelivery();
  try {
    const id = await delivery.queue({ forwardPaths: ['a@one.example', 'b@two.example'] });
    const alone = await delivery.queue({ forwardPaths: ['b@two.example'] });
    const copy = await delivery.queue({ forwardPaths: ['b@two.example'], kind: 'copy', source: 'postern' });
    await suppress(delivery.runtime.database.pool, { address: 'b@two.example', reason: 'complaint' }, TEST);
    delivery.ring(id, alone, copy);
    await delivery.reaches(alone, 'failed');
    await delivery.reaches(copy, 'relayed');
    await delivery.until(async () => (await delivery.message(id)).state !== 'queued');
    const fared = await delivery.until(async () => {
      const all = await delivery.recipients(id);
      return all.every(({ status }) => status !== 'pending') && all;
    });
    expect(fared).toMatchObject([
      { address: 'a@one.example', status: 'relayed' },
      { address: 'b@two.example', status: 'failed', reply_code: 550, reply_enhanced: '5.7.1' },
    ]);
    expect(fared[1]!.reply_text).toBe('Recipient suppressed: it complained of mail');
    expect(await delivery.sql('select message_id, forward_paths from captures order by message_id')).toEqual([
      { message_id: id, forward_paths: ['a@one.example'] },
      { message_id: copy, forward_paths: ['b@two.example'] },
    ]);
    const reported = await delivery.until(async () => {
      const found = await delivery.sql<{ about_id: string }>(
        `select about_id from messages where kind = 'dsn' order by about_id`,
      );
      return found.length === 2 && found;
    });
    expect(reported.map(({ about_id }) => about_id)).toEqual([id, alone]);
  } finally {
    await delivery.close();
  }
});

async function until(probe: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await probe()); tries++) {
    if (tries > 300) throw new Error('waited in vain');
    await new Promise((go) => setTimeout(go, 10));
  }
}
