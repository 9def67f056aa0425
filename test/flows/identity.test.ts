/** Mail that leaves says who answers for it; anyone can check that, and nobody can change it. */
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { simpleParser } from 'mailparser';
import { createTransport } from 'nodemailer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newSigningKey, signToken } from '../../core/mail/token.ts';
import { bindDid } from '../../core/store/dids.ts';
import { createLogin } from '../../core/store/login-accounts.ts';
import { hashPassword } from '../../core/store/passwords.ts';
import { rotateSigningKey } from '../../core/store/signing-keys.ts';
import { startGateway } from '../../gateway/main.ts';
import { type IdentityHouse, startIdentityHouse } from '../support/identity.ts';
import { letter, openInternet } from '../support/mx.ts';
import { needs } from '../support/needs.ts';
import { startNextHop } from '../support/next-hop.ts';

let house: IdentityHouse;
let bot: string;

beforeAll(async () => {
  house = await startIdentityHouse({
    http: { port: 0, public_url: 'https://mail.ours.example' },
    account: { name: 'Büro Ost' },
  });
  // before the first mail: what is said of the operator is kept for a while
  await house.runtime.database.pool.query(
    `insert into domains (id, domain, status, token, dkim_selector, dkim_private_key, dkim_public_key)
     values ('01JD0MAIN00000000000000000', 'proved.example', 'active', 't', 's', 'k', 'k'),
            ('01JD0MAIN00000000000000001', 'ours.example', 'pending', 't', 's', 'k', 'k')`,
  );
  bot = (await house.mailbox('bot@ours.example', 'autonomous')).id;
});
afterAll(() => house?.close());

const changed = (raw: Buffer, from: string | RegExp, to: string) => {
  const text = raw.toString('latin1');
  const after = text.replace(from, to);
  if (after === text) throw new Error(`${from} is not in the message`);
  return after;
};

test('mail sent over the API says that a program wrote it, who operates it, and which message it is', async () => {
  const id = await house.send(bot, {
    to: ['Ana@remote.example'],
    cc: ['b@remote.example'],
    subject: 'Grüße',
  });
  const { raw, payload, fields } = await house.captured(id);
  const tenant = (await house.runtime.database.pool.query('select id, name from account')).rows[0];
  expect(payload).toEqual({
    ai_generated: true,
    approval: null,
    body_hash: createHash('sha256').update(relaxed(raw), 'latin1').digest('base64'),
    capabilities: ['read', 'send'],
    composer: 'agent',
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    iat: expect.any(Number),
    kid: (await house.runtime.signer.current()).kid,
    mid: fields.get('message-id')!.replace(/[<>]/g, ''),
    operator_name: 'Büro Ost',
    oversight_mode: 'autonomous',
    reputation_hash: fields.get('x-multimail-reputation'),
    service: 'https://mail.ours.example',
    subject_hash: createHash('sha256').update('Grüße').digest('hex'),
    tenant_id: tenant.id,
    to_hash: createHash('sha256').update('ana@remote.example\nb@remote.example').digest('hex'),
    v: 1,
    verified_operator: false,
  });
  expect(fields.get('x-ai-generated')).toBe('true');
  for (const line of raw.toString('latin1').split('\r\n')) expect(line.length).toBeLessThanOrEqual(998);
});

test('a message as it left is checked as a whole; each change shows where it was made', async () => {
  const id = await house.send(bot, { subject: 'The offer', markdown: 'We pay **5** pounds.' });
  const { raw } = await house.captured(id);
  const bound = { message_id: true, recipients: true, subject: true, body: true };
  const check = async (text: string) => (await house.verify({ raw: text })).json;

  expect(await check(raw.toString('latin1'))).toMatchObject({ valid: true, reason: null, bound });
  expect(await check(changed(raw, 'We pay', 'We owe'))).toMatchObject({
    valid: true,
    bound: { ...bound, body: false },
  });
  expect(await check(changed(raw, 'The offer', 'The bill'))).toMatchObject({
    bound: { ...bound, subject: false },
  });
  expect(await check(changed(raw, /^To: .*$/m, 'To: eve@remote.example'))).toMatchObject({
    bound: { ...bound, recipients: false },
  });
  expect(await check(changed(raw, /^(To: .*)$/m, '$1\r\nCc: eve@remote.example'))).toMatchObject({
    bound: { ...bound, recipients: false },
  });
  expect(await check(changed(raw, /^Message-ID: <./im, 'Message-ID: <x'))).toMatchObject({
    bound: { ...bound, message_id: false },
  });
  // what relays do on the way is no change
  expect(await check(`Received: from a by b; now\r\n${raw.toString('latin1')}\r\n\r\n`)).toMatchObject({
    valid: true,
    bound,
  });
  expect(await check(raw.toString('latin1').replaceAll('\r\n', '\n'))).toMatchObject({ valid: true, bound });
});

test('a token by itself is checked against what is known of its message', async () => {
  const id = await house.send(bot, {
    to: ['ana@remote.example'],
    cc: ['b@remote.example'],
    subject: 'Grüße',
  });
  const { token, fields } = await house.captured(id);
  const none = { message_id: null, recipients: null, subject: null, body: null };
  expect((await house.verify({ identity: token })).json).toMatchObject({ valid: true, bound: none });
  expect((await house.verify({ identity: fields.get('x-multimail-identity') })).json.valid).toBe(true);
  const right = {
    identity: token,
    message_id: fields.get('message-id'),
    to: 'b@remote.example, Ana@remote.example',
    subject: 'Grüße',
  };
  expect((await house.verify(right)).json.bound).toEqual({
    message_id: true,
    recipients: true,
    subject: true,
    body: null,
  });
  const wrong = { identity: token, message_id: 'x', to: ['ana@remote.example'], cc: [], subject: 'Gruesse' };
  expect((await house.verify(wrong)).json).toMatchObject({
    valid: true,
    bound: { message_id: false, recipients: false, subject: false, body: null },
  });
});

test('whoever makes a program’s mail a person’s breaks the signature', async () => {
  const { token, payload } = await house.captured(await house.send(bot));
  const forged = Buffer.from(JSON.stringify({ ...payload, ai_generated: false })).toString('base64url');
  const { json } = await house.verify({ identity: `${forged}.${token.split('.')[1]}` });
  expect(json).toMatchObject({ valid: false, kid: payload.kid, payload: { ai_generated: false } });
  expect(json.reason).toMatch(/signature/);
});

test('the link in the text of a message verifies who sent it, whatever its body', async () => {
  const { raw, payload } = await house.captured(
    await house.send(bot, { subject: 'Grüße', cc: ['b@remote.example'] }),
  );
  const { text = '', html } = await simpleParser(raw);
  const link = /https:\/\/mail\.ours\.example\/verify#(\S+)/.exec(text)!;
  expect(html).toContain(link[0]);
  const known = { message_id: payload.mid, to: 'ana@remote.example, b@remote.example', subject: 'Grüße' };
  const { json } = await house.verify({ identity: link[1], ...known });
  expect(json).toMatchObject({
    valid: true,
    bound: { message_id: true, recipients: true, subject: true, body: null },
  });
  const { approval: _, body_hash: __, iat: ___, ...same } = payload;
  expect(json.payload).toEqual({ ...same, iat: expect.any(Number) });
});

test('a mailbox with a DID relays its agent’s delegation as it was given', async () => {
  const { database } = house.runtime;
  const boxes = ['with-did', 'without-did'].map((name) =>
    house.mailbox(`${name}@ours.example`, 'autonomous'),
  );
  const [bound, unbound] = await Promise.all(boxes);
  expect(await bindDid(database.pool, bound!.id, 'did:key:z6MkAgent', system('cli'))).toBe(true);
  expect(await bindDid(database.pool, bound!.id, 'did:key:z6MkAgent', system('cli'))).toBe(false);
  const ucan = 'a'.repeat(2000);
  const { fields } = await house.captured(await house.send(bound!.id, { ucan }));
  expect(fields.get('x-agent-identity')!.replace(/\s+/g, '')).toBe(`did="did:key:z6MkAgent";ucan="${ucan}"`);
  const other = await house.captured(await house.send(unbound!.id, { ucan }));
  expect(other.fields.has('x-agent-identity')).toBe(false);
  const { rows } = await database.pool.query(
    `select metadata from audit_events where action = 'mailbox.updated' and resource_id = $1`,
    [bound!.id],
  );
  expect(rows).toEqual([{ metadata: { did: { from: null, to: 'did:key:z6MkAgent' } } }]);
});

test('the private key stands in no answer and no log', async () => {
  const { rows } = await house.runtime.database.pool.query(
    'select private_key from signing_keys where private_key is not null',
  );
  const secret = rows[0].private_key.split('\n')[1];
  expect(secret.length).toBeGreaterThan(40);
  const answers = await Promise.all(
    ['/.well-known/multimail-signing-key', '/verify', '/v1/audit-log', '/v1/export', '/v1/account'].map(
      (path) => house.call('GET', path, { key: house.keys.admin }),
    ),
  );
  for (const { text } of answers) expect(text).not.toContain(secret);
  expect(house.log.join('')).not.toContain(secret);
  expect(house.log.join('')).not.toContain('PRIVATE KEY');
});

test('what is no identity is said to be none, with the reason', async () => {
  expect((await house.verify({ identity: 'hello' })).json).toMatchObject({
    valid: false,
    kid: null,
    payload: null,
  });
  expect((await house.verify({ raw: 'Subject: x\r\n\r\nHello.\r\n' })).json.reason).toMatch(/no X-MultiMail/);
  expect((await house.verify({})).status).toBe(400);
  expect((await house.verify({ identity: 'a.b', raw: 'x' })).status).toBe(400);
  const receipt = await house.runtime.signer.sign({ approval: 'x' });
  expect((await house.verify({ identity: receipt.token })).json).toMatchObject({ valid: false });
  const { raw, fields } = await house.captured(await house.send(bot));
  const twice = `X-MultiMail-Identity: ${fields.get('x-multimail-identity')}\r\n${raw.toString('latin1')}`;
  expect((await house.verify({ raw: twice })).json).toMatchObject({ valid: false });
});

test('after a person approved it, the token holds the approval, and no name', async () => {
  const gated = (await house.mailbox('gated@ours.example', 'gated_send')).id;
  const id = await house.send(gated);
  await house.until(id, 'pending_send_approval');
  const decided = await house.call('POST', '/v1/oversight/decide', {
    key: house.keys.reviewer,
    body: { email_id: id, action: 'approve' },
  });
  expect(decided.status).toBe(200);
  const { payload } = await house.captured(id);
  const { rows } = await house.runtime.database.pool.query(
    'select id, decided_at from approvals where message_id = $1',
    [id],
  );
  expect(payload.approval).toEqual({ at: rows[0].decided_at.toISOString(), by: 'person', ref: rows[0].id });
  expect(payload.oversight_mode).toBe('gated_send');
  expect(JSON.stringify(payload)).not.toContain('reviewer');
});

test('mail that the allowlist let go says so', async () => {
  const gated = (await house.mailbox('listed@ours.example', 'gated_send')).id;
  await house.runtime.database.pool.query(
    `insert into allowlist_entries (id, mailbox_id, pattern) values ($1, $2, '*@friends.example')`,
    ['01JALLOWED0000000000000000', gated],
  );
  const { payload } = await house.captured(await house.send(gated, { to: ['ana@friends.example'] }));
  expect(payload.approval).toEqual({ at: expect.any(String), by: 'allowlist', ref: null });
});

test('the operator is verified for domains that were proved, and for no others', async () => {
  const proved = (await house.mailbox('bot@proved.example', 'autonomous')).id;
  expect((await house.captured(await house.send(proved))).payload.verified_operator).toBe(true);
  expect((await house.captured(await house.send(bot))).payload.verified_operator).toBe(false);
});

test('a person’s mail by SMTP carries an identity, and is not said to be a program’s', async () => {
  const gateway = await startGateway(house.runtime);
  try {
    const person = (await house.mailbox('ana@ours.example', 'autonomous')).id;
    const send = submitter(gateway.ports.submission!);
    await login('ana', person, 'user');
    await login('robot', person, 'agent');
    const foreign = {
      'X-MultiMail-Identity': 'forged.forged',
      'x-multimail-anything':
        'folded over many lines, so that it is long enough to be cut by whoever writes it',
      'X-AI-Generated': 'false',
      'X-Agent-Identity': 'did="x"; ucan="y"',
      'X-Other': 'stays',
    };

    const byPerson = await house.captured(await send('ana', { headers: foreign }));
    expect(byPerson.payload).toMatchObject({ ai_generated: false, capabilities: [], composer: null });
    expect(byPerson.fields.has('x-ai-generated')).toBe(false);
    expect(byPerson.fields.get('x-other')).toBe('stays');
    for (const name of ['x-multimail-anything', 'x-agent-identity'])
      expect(byPerson.fields.has(name)).toBe(false);
    expect(byPerson.raw.toString()).not.toContain('forged');
    expect(byPerson.raw.toString()).not.toContain('folded over');
    expect((await house.verify({ raw: byPerson.raw.toString() })).json).toMatchObject({
      valid: true,
      bound: { message_id: true, recipients: true, subject: true, body: true },
    });

    const byAgent = await house.captured(await send('robot', {}));
    expect(byAgent.payload).toMatchObject({ ai_generated: true, composer: 'robot', capabilities: ['send'] });
    expect(byAgent.fields.get('x-ai-generated')).toBe('true');

    const named = await house.captured(await send('ana', { headers: { 'X-Postern-Agent': 'helper' } }));
    expect(named.payload).toMatchObject({ ai_generated: true, composer: 'helper' });
  } finally {
    await gateway.close();
  }
});

test('mail that comes in keeps what it says of its sender, and readers are told whether it holds', async () => {
  const internet = await openInternet(house.runtime);
  try {
    const reader = (await house.mailbox('reader@ours.example', 'monitored')).id;
    const { raw, payload } = await house.captured(await house.send(bot, { markdown: 'We pay.' }));
    const read = async (mail: Buffer | string) => {
      const id = await internet.deliver('reader@ours.example', mail);
      await house.until(id, 'unread');
      const got = await house.call('GET', `/v1/mailboxes/${reader}/emails/${id}`, { key: house.keys.agent });
      const { rows } = await house.runtime.database.pool.query(
        'select bytes from contents c join messages m on m.content_id = c.id where m.id = $1',
        [id],
      );
      return { ...got.json, stored: rows[0].bytes as Buffer };
    };
    const whole = await read(raw);
    expect(whole.sender_identity).toEqual({ valid: true, payload });
    expect(whole.stored.subarray(-raw.length).equals(raw)).toBe(true);
    const changedOne = await read(Buffer.from(changed(raw, 'We pay', 'We owe'), 'latin1'));
    expect(changedOne.sender_identity.valid).toBe(false);
    expect((await read(letter({ To: 'reader@ours.example' }))).sender_identity).toBeNull();

    const stranger = newSigningKey();
    const forged = signToken(
      { ...payload, composer: 'x\0' },
      { ...stranger, privateKey: createPrivateKey(stranger.privateKey) },
    );
    const unknown = await read(letter({ To: 'reader@ours.example', 'X-MultiMail-Identity': forged }));
    expect(unknown.sender_identity).toMatchObject({ valid: null, payload: { kid: stranger.kid } });
  } finally {
    await internet.close();
  }
});

test('Postern’s own notices carry an identity that says no program wrote them; copies are left as they are', async () => {
  const { pool } = house.runtime.database;
  const asked = await house.call('POST', '/v1/mailboxes', {
    key: house.keys.admin,
    body: { address_local: 'new' },
  });
  expect(asked.status).toBe(202);
  const watched = (await house.mailbox('watched@ours.example', 'monitored')).id;
  await pool.query(`update mailboxes set oversight_address = 'overseer@remote.example' where id = $1`, [
    watched,
  ]);
  const original = await house.captured(await house.send(watched));
  const idOf = async (kind: string) =>
    (await pool.query('select id from messages where kind = $1 order by id desc limit 1', [kind])).rows[0].id;

  const notice = await house.captured(await idOf('notice'));
  expect(notice.payload).toMatchObject({
    ai_generated: false,
    composer: null,
    capabilities: [],
    approval: null,
  });
  expect(notice.fields.has('x-ai-generated')).toBe(false);
  const copy = await house.captured(await idOf('copy'));
  expect(copy.token).toBe('');
  expect(original.raw.subarray(-copy.raw.length).equals(copy.raw)).toBe(true);
});

test('a next hop gets the marks on top of the approved bytes, and their size is counted', async () => {
  const hop = await startNextHop({ extensions: ['PIPELINING', 'SIZE 100000', '8BITMIME'] });
  const other = await startIdentityHouse({
    delivery: {
      default_route: 'hop',
      routes: { hop: { type: 'smarthost', host: '127.0.0.1', port: hop.port, tls: 'none' } },
    },
  });
  try {
    const mailbox = (await other.mailbox('bot@ours.example', 'autonomous')).id;
    const id = await other.send(mailbox, { markdown: '.starts with a dot\n\n..and two' });
    await other.until(id, 'sent');
    const [taken] = hop.taken;
    const { rows } = await other.runtime.database.pool.query(
      'select bytes from contents c join messages m on m.content_id = c.id where m.id = $1',
      [id],
    );
    expect(taken!.bytes.subarray(-rows[0].bytes.length).equals(rows[0].bytes)).toBe(true);
    expect(taken!.bytes.toString().startsWith('X-MultiMail-Identity:')).toBe(true);
    expect(taken!.parameters).toContain(`SIZE=${taken!.bytes.length}`);
    expect((await other.verify({ raw: taken!.bytes.toString() })).json).toMatchObject({
      valid: true,
      bound: { message_id: true, recipients: true, subject: true, body: true },
    });
  } finally {
    await other.close();
    await hop.close();
  }
});

test.skipIf(needs('openssl'))(
  'openssl agrees about the signature, with nothing but the published key',
  async () => {
    const { token } = await house.captured(await house.send(bot));
    const { json: key, headers } = await house.call('GET', '/.well-known/multimail-signing-key');
    expect(headers.get('cache-control')).toBe('public, max-age=3600');
    expect(key).toMatchObject({
      kty: 'EC',
      crv: 'P-256',
      alg: 'ES256',
      use: 'sig',
      algorithm: expect.any(String),
    });
    expect(key).not.toHaveProperty('d');
    expect(key.keys[0]).toEqual({
      kty: 'EC',
      crv: 'P-256',
      x: key.x,
      y: key.y,
      alg: 'ES256',
      use: 'sig',
      kid: key.kid,
    });
    const folder = mkdtempSync(join(tmpdir(), 'postern-openssl-'));
    try {
      const [payload, signature] = token.split('.').map((part) => Buffer.from(part, 'base64url'));
      writeFileSync(join(folder, 'key.pem'), key.public_key_pem);
      writeFileSync(join(folder, 'signature'), derOf(signature!));
      const verify = (said: Buffer) => {
        writeFileSync(join(folder, 'payload'), said);
        const args = ['dgst', '-sha256', '-verify', 'key.pem', '-signature', 'signature', 'payload'];
        return execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' }).toString();
      };
      expect(verify(payload!)).toContain('Verified OK');
      expect(() => verify(Buffer.concat([payload!, Buffer.from(' ')]))).toThrow();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test('mail signed before a rotation is verified after it; the old key is published as retired', async () => {
  const before = await house.captured(await house.send(bot));
  const fresh = newSigningKey();
  await house.runtime.listening.ready();
  await house.runtime.database.transaction((db) => rotateSigningKey(db, fresh, system('cli')));
  for (let tries = 0; (await house.runtime.signer.current()).kid !== fresh.kid; tries++) {
    if (tries > 500) throw new Error('the rotation was not heard of');
    await new Promise((go) => setTimeout(go, 10));
  }
  const { json } = await house.call('GET', '/.well-known/multimail-signing-key');
  expect(json.kid).toBe(fresh.kid);
  expect(json.keys.map(({ kid, not_after }: Record<string, unknown>) => [kid, typeof not_after])).toEqual([
    [fresh.kid, 'undefined'],
    [before.payload.kid, 'string'],
  ]);
  expect((await house.verify({ raw: before.raw.toString() })).json.valid).toBe(true);
  expect((await house.captured(await house.send(bot))).payload.kid).toBe(fresh.kid);
});

test('the reputation mark leads to words about the account, and another mark to nothing', async () => {
  const { payload } = await house.captured(await house.send(bot));
  const path = `/.well-known/reputation/${payload.reputation_hash}`;
  expect((await house.call('GET', path)).json).toEqual({
    hash: payload.reputation_hash,
    account_age_days: 0,
    bounce_rate: 'unknown',
    complaint_rate: 'unknown',
    rejection_rate: 'unknown',
    updated_at: expect.stringMatching(/T00:00:00\.000Z$/),
  });
  expect((await house.call('GET', `/.well-known/reputation/${'0'.repeat(64)}`)).status).toBe(404);
  const answers = [];
  for (let i = 0; i < 12; i++) answers.push(await house.call('GET', path));
  const last = answers.at(-1)!;
  expect([last.status, last.json.code]).toEqual([429, 'rate_limited']);
  expect(last.headers.get('retry-after')).toMatch(/^\d+$/);
});

const PASSWORD = 'correct-horse';

async function login(username: string, mailboxId: string, kind: 'user' | 'agent'): Promise<void> {
  const passwordHash = await hashPassword(PASSWORD);
  const principal = { kind, name: username };
  await createLogin(
    house.runtime.database.pool,
    { username, mailboxId, principal, passwordHash },
    system('cli'),
  );
}

function submitter(port: number) {
  return async (user: string, mail: { headers?: Record<string, string> }): Promise<string> => {
    const transport = createTransport({
      host: '127.0.0.1',
      port,
      auth: { user, pass: PASSWORD },
      tls: { rejectUnauthorized: false },
    });
    const sent = await transport.sendMail({
      from: 'ana@ours.example',
      to: 'Bob <bob@remote.example>',
      subject: 'Grüße aus dem Norden',
      text: 'Hello  there.\n\n',
      ...mail,
    });
    return sent.response.split(' ').at(-1)!;
  };
}

/** The body as RFC 6376 §3.4.4 has it, spelt in another way than ours. */
function relaxed(raw: Buffer): string {
  const text = raw.toString('latin1');
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  return body
    .replace(/[ \t]+/g, ' ')
    .replace(/ \r\n/g, '\r\n')
    .replace(/(\r\n)*$/, '\r\n');
}

function derOf(signature: Buffer): Buffer {
  const integer = (bytes: Buffer) => {
    let at = 0;
    while (at < bytes.length - 1 && bytes[at] === 0) at += 1;
    const positive =
      bytes[at]! > 0x7f ? Buffer.concat([Buffer.alloc(1), bytes.subarray(at)]) : bytes.subarray(at);
    return Buffer.concat([Buffer.from([0x02, positive.length]), positive]);
  };
  const both = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, both.length]), both]);
}
