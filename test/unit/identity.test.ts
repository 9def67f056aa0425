import { createHash, createPrivateKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bodyHash } from '../../core/mail/body-hash.ts';
import { parseHeaders } from '../../core/mail/headers.ts';
import {
  boundOf,
  recipientsHash,
  type SenderClaims,
  signIdentity,
  signVerifyLink,
  subjectHash,
} from '../../core/mail/identity.ts';
import { senderIdentity } from '../../core/mail/sender-identity.ts';
import {
  canonicalJson,
  newSigningKey,
  publicKeyOf,
  readToken,
  signToken,
  thumbprint,
} from '../../core/mail/token.ts';

const sha = (text: string, encoding: 'hex' | 'base64' = 'hex') =>
  createHash('sha256').update(text, 'latin1').digest(encoding);

const fresh = newSigningKey();
const key = { kid: fresh.kid, privateKey: createPrivateKey(fresh.privateKey) };
const ours = (kid: string) => (kid === fresh.kid ? publicKeyOf(fresh.publicJwk) : undefined);

const SENDER: SenderClaims = {
  ai_generated: true,
  capabilities: ['read', 'send'],
  composer: 'billing bot',
  created_at: '2026-01-02T03:04:05.678Z',
  operator_name: 'Büro',
  oversight_mode: 'gated_send',
  reputation_hash: 'ab'.repeat(32),
  service: 'https://mail.example',
  tenant_id: '01JZZZZZZZZZZZZZZZZZZZZZZZ',
  verified_operator: false,
};

const MAIL = Buffer.from(
  [
    'From: bot@ours.example',
    'To: Ana <Ana@remote.example>, bob@remote.example',
    'Cc: cc@remote.example',
    'Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=',
    'Message-ID: <one@ours.example>',
    '',
    'Hello.',
    '',
  ].join('\r\n'),
);

const sign = (bytes = MAIL) =>
  signIdentity(key, { bytes, block: parseHeaders(bytes) }, SENDER, null, new Date(1_800_000_000_000));

test.each([
  // RFC 6376 §3.4.5 and §3.4.4
  ['the example of the RFC', ' C \r\nD \t E\r\n\r\n\r\n', ' C\r\nD E\r\n'],
  ['an empty body', '', ''],
  ['nothing but line ends', '\r\n\r\n', ''],
  ['nothing but white space', ' \t \r\n \r\n', ''],
  ['no line end at the end', 'a', 'a\r\n'],
  ['white space and no line end at the end', 'a  ', 'a\r\n'],
  ['empty lines between', 'a\r\n\r\n\r\nb\r\n', 'a\r\n\r\n\r\nb\r\n'],
  ['empty lines at the beginning', '\r\n\r\na\r\n', '\r\n\r\na\r\n'],
  ['a tab alone', 'a\tb\r\n', 'a b\r\n'],
  ['white space at the beginning of a line', 'a\r\n  b\r\n', 'a\r\n b\r\n'],
  ['a line of white space between', 'a\r\n \t\r\nb\r\n', 'a\r\n\r\nb\r\n'],
  ['bytes beyond ASCII', 'gr\xc3\xbc\xc3\x9fe \xff\r\n', 'gr\xc3\xbc\xc3\x9fe \xff\r\n'],
])('the hash of a body is that of DKIM: %s', (_, body, relaxed) => {
  expect(bodyHash(Buffer.from(body, 'latin1'))).toBe(sha(relaxed, 'base64'));
});

test('the hash of the empty body is the one the RFC names', () => {
  expect(bodyHash(Buffer.alloc(0))).toBe('47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=');
});

test('a long body hashes as its canonical form does, wherever white space falls', () => {
  const random = (n: number) => 'a \t\r\n'[(n * 7919 + (n >> 3)) % 5]!;
  let body = '';
  for (let n = 0; body.length < 300_000; n++) {
    const next = random(n);
    if (next === '\r' || next === '\n') body += '\r\n';
    else body += next.repeat(1 + (n % 3));
    if (n % 5000 === 0) body += 'x'.repeat(65_530);
    if (n % 7000 === 0) body += ' '.repeat(70_000);
  }
  const relaxed = body
    .replace(/[ \t]+/g, ' ')
    .replace(/ (?=\r\n|$)/g, '')
    .replace(/(\r\n)*$/, '\r\n');
  expect(bodyHash(Buffer.from(body, 'latin1'))).toBe(sha(relaxed, 'base64'));
});

test('the members of a token are sorted and stand without blanks, and say what they should', () => {
  const [payload] = sign().split('.');
  const text = Buffer.from(payload!, 'base64url').toString();
  expect(text).toBe(canonicalJson(JSON.parse(text)));
  expect(Object.keys(JSON.parse(text))).toEqual(
    `ai_generated approval body_hash capabilities composer created_at iat kid mid operator_name oversight_mode
     reputation_hash service subject_hash tenant_id to_hash v verified_operator`.split(/\s+/),
  );
  expect(JSON.parse(text)).toEqual({
    ...SENDER,
    approval: null,
    body_hash: sha('Hello.\r\n', 'base64'),
    iat: 1_800_000_000,
    kid: fresh.kid,
    mid: 'one@ours.example',
    subject_hash: createHash('sha256').update('Grüße').digest('hex'),
    to_hash: sha('ana@remote.example\nbob@remote.example\ncc@remote.example'),
    v: 1,
  });
});

test('a key is named by its thumbprint', () => {
  const { x, y, kid } = fresh.publicJwk;
  expect(kid).toBe(
    createHash('sha256').update(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`).digest('base64url'),
  );
  expect(thumbprint({ x, y })).toBe(kid);
});

test('a token that was folded into a header field is read all the same', () => {
  const token = sign();
  expect(readToken(token.replace(/(.{76})/g, '$1\r\n '), ours)?.signature).toBe('valid');
});

test('every signature holds, however short its integers are', () => {
  const isShort = (token: string) => {
    const signature = Buffer.from(token.split('.')[1]!, 'base64url');
    return signature[0] === 0 || signature[32] === 0;
  };
  // one in 128 is
  let short: string | undefined;
  for (let n = 0; short === undefined; n++) {
    const token = signToken({ n }, key);
    if (isShort(token)) short = token;
    if (n < 100) expect(readToken(token, ours)?.signature).toBe('valid');
  }
  expect(readToken(short, ours)?.signature).toBe('valid');
});

test('whatever member is changed, the token does not hold any more', () => {
  const token = sign();
  const read = readToken(token, ours)!;
  expect(read.signature).toBe('valid');
  for (const name of Object.keys(read.payload)) {
    if (name === 'kid') continue;
    const value = read.payload[name];
    const other = typeof value === 'boolean' ? !value : typeof value === 'number' ? value + 1 : `${value}x`;
    const forged = Buffer.from(canonicalJson({ ...read.payload, [name]: other })).toString('base64url');
    expect([name, readToken(`${forged}.${token.split('.')[1]}`, ours)?.signature]).toEqual([name, 'invalid']);
  }
});

test('a changed signature, a longer one and an empty one do not hold', () => {
  const [payload, signature] = sign().split('.') as [string, string];
  const bytes = Buffer.from(signature, 'base64url');
  for (const at of [0, 31, 32, 63]) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    expect(readToken(`${payload}.${changed.toString('base64url')}`, ours)?.signature).toBe('invalid');
  }
  const longer = Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64url');
  expect(readToken(`${payload}.${longer}`, ours)?.signature).toBe('invalid');
  expect(readToken(`${payload}.`, ours)).toBeUndefined();
});

test.each([
  '',
  '.',
  'a.b.c',
  'no dots at all',
  'e30',
  'e30=.AAAA',
  `${Buffer.from('[]').toString('base64url')}.AAAA`,
  `${Buffer.from('{"a":').toString('base64url')}.AAAA`,
  'x'.repeat(20_000),
])('what is no token is not read: %.20s', (text) => {
  expect(readToken(text, ours)).toBeUndefined();
});

test('the signature of another key is not taken for ours', () => {
  const other = newSigningKey();
  const stranger = { kid: other.kid, privateKey: createPrivateKey(other.privateKey) };
  expect(readToken(signToken({ v: 1 }, stranger), ours)?.signature).toBe('unknown_key');
  expect(readToken(signToken({ v: 1 }, { ...stranger, kid: fresh.kid }), ours)?.signature).toBe('invalid');
});

test('a verify link is bound to the same message, and has neither approval nor body', () => {
  const draft = {
    messageId: '<one@ours.example>',
    to: ['Ana@remote.example', 'bob@remote.example'],
    cc: ['cc@remote.example'],
    subject: 'Grüße',
  };
  const link = readToken(signVerifyLink(key, draft, SENDER, new Date()), ours)!;
  expect(link.signature).toBe('valid');
  expect(link.payload).not.toHaveProperty('approval');
  expect(link.payload).not.toHaveProperty('body_hash');
  expect(link.payload).toMatchObject(boundOf(parseHeaders(MAIL)));
});

test('a second Subject, Message-ID or To is not bound by what was signed', () => {
  const signed = boundOf(parseHeaders(MAIL));
  const with2 = (field: string) => boundOf(parseHeaders(Buffer.concat([Buffer.from(`${field}\r\n`), MAIL])));
  expect(with2('Subject: Another').subject_hash).not.toBe(signed.subject_hash);
  expect(with2('Message-ID: <two@ours.example>').mid).not.toBe(signed.mid);
  expect(with2('To: eve@remote.example').to_hash).not.toBe(signed.to_hash);
  expect(with2('To: "eve here"@remote.example').to_hash).not.toBe(signed.to_hash);
});

test('subjects that look the same hash the same, to their end', () => {
  expect(subjectHash('e\u0301')).toBe(subjectHash('\u00e9'));
  const long = (end: string) =>
    boundOf(parseHeaders(Buffer.from(`Subject: =?utf-8?q?a?= ${'x'.repeat(9000)}${end}\r\n\r\n`)))
      .subject_hash;
  expect(long('1')).not.toBe(long('2'));
});

test('recipients hash by address alone, in any order and case', () => {
  expect(recipientsHash(['b@x.example', 'A@x.example'])).toBe(recipientsHash(['a@X.example', 'B@x.example']));
});

describe('what a message that came in says of its sender', () => {
  const [trusted, stranger] = [newSigningKey(), newSigningKey()].map((made) => ({
    ...made,
    key: { kid: made.kid, privateKey: createPrivateKey(made.privateKey) },
  })) as [typeof fresh & { key: typeof key }, typeof fresh & { key: typeof key }];
  const keys = (kid: string) => {
    if (kid === fresh.kid) return { key: publicKeyOf(fresh.publicJwk), notAfter: null, service: null };
    if (kid !== trusted.kid) return undefined;
    return { key: publicKeyOf(trusted.publicJwk), notAfter: null, service: 'https://other.example' };
  };
  const marked = (token: string, mail = MAIL) =>
    Buffer.concat([Buffer.from(`X-MultiMail-Identity:\r\n ${token}\r\n`), mail]);
  const signed = (by: typeof key, service: string, mail = MAIL) =>
    signIdentity(by, { bytes: mail, block: parseHeaders(mail) }, { ...SENDER, service }, null, new Date());

  test('is nothing when it says nothing', () => {
    expect(senderIdentity(MAIL, keys)).toBeNull();
  });

  test.each([
    ['ours', key, 'https://anything.example', true],
    ['a trusted issuer', trusted.key, 'https://other.example', true],
    ['a trusted issuer in the name of somebody else', trusted.key, 'https://mail.example', false],
    ['a stranger', stranger.key, 'https://other.example', null],
    [
      'a stranger under the name of our key',
      { ...stranger.key, kid: fresh.kid },
      'https://mail.example',
      false,
    ],
  ])('signed by %s', (_, by, service, valid) => {
    const found = senderIdentity(marked(signed(by, service)), keys);
    expect(found).toMatchObject({ valid, payload: { composer: 'billing bot', service } });
  });

  test('does not hold for another message, another body, or with a link’s token', () => {
    const token = signed(key, 'https://mail.example');
    const body = Buffer.from(MAIL.toString().replace('Hello', 'Goodbye'));
    const subject = Buffer.from(MAIL.toString().replace('Subject: ', 'Subject: Re: '));
    expect(senderIdentity(marked(token, body), keys)?.valid).toBe(false);
    expect(senderIdentity(marked(token, subject), keys)?.valid).toBe(false);
    const draft = {
      messageId: 'one@ours.example',
      to: ['ana@remote.example', 'bob@remote.example'],
      cc: ['cc@remote.example'],
      subject: 'Grüße',
    };
    const link = signVerifyLink(key, draft, SENDER, new Date());
    expect(senderIdentity(marked(link), keys)?.valid).toBe(false);
    expect(senderIdentity(marked(`${token}\r\nX-MultiMail-Identity: ${token}`), keys)?.valid).toBe(false);
  });

  test('is no longer taken when it was signed after its key was retired', () => {
    const retired = (kid: string) => {
      const found = keys(kid);
      return found && { ...found, notAfter: new Date(Date.now() - 3_600_000) };
    };
    expect(senderIdentity(marked(signed(key, 'x')), retired)?.valid).toBe(false);
  });

  test.each([
    ['NUL', { composer: 'a\0b' }],
    ['half a character', { composer: '\ud800' }],
    ['a long text', { operator_name: 'x'.repeat(9000) }],
    ['deep nesting', { approval: JSON.parse(`${'['.repeat(3000)}${']'.repeat(3000)}`) }],
    ['a large number', { iat: 1e300 }],
    ['members of others', { __proto__: { x: 1 }, evil: 'x', approval: { at: 'x', by: ['y'], evil: 1 } }],
  ])('is kept as plain text, whatever it holds: %s', (_, members) => {
    const payload = Buffer.from(JSON.stringify({ ...SENDER, kid: 'k', ...members })).toString('base64url');
    const found = senderIdentity(marked(`${payload}.AAAA`), keys)!;
    const text = JSON.stringify(found);
    expect(text).not.toMatch(/\\u0000|\\ud8|evil/);
    expect(text.length).toBeLessThan(3000);
    expect(found.valid === null || found.payload.kid === undefined).toBe(true);
  });
});
