/** The two tools for people: the page behind verify links, and `postern verify`. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash, webcrypto } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IdentityHouse, type Marked, startIdentityHouse } from '../support/identity.ts';
import { needs } from '../support/needs.ts';

const LAUNCHER = join(import.meta.dirname, '../../cli/postern.js');

let house: IdentityHouse;
let folder: string;
let sent: Marked;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-verify-'));
  house = await startIdentityHouse();
  const bot = (await house.mailbox('bot@ours.example', 'autonomous')).id;
  sent = await house.captured(await house.send(bot, { subject: 'The offer', markdown: 'We pay.' }));
});
afterAll(async () => {
  await house?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function postern(args: string[], env: Record<string, string> = {}, input = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...env }, cwd: folder };
    const child = execFile(process.execPath, [LAUNCHER, ...args], options, (err, stdout, stderr) =>
      resolve({ code: err === null ? 0 : Number(err.code), stdout, stderr }),
    );
    child.stdin!.end(input);
  });
}

const write = (name: string, content: string | Buffer) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

describe('postern verify', () => {
  test('says of a message as it arrived that it is as it was signed', async () => {
    const { code, stdout } = await postern(['verify', write('mail.eml', sent.raw), '--url', house.url]);
    expect(stdout).toMatch(/^VERIFIED by the keys of http/);
    expect(stdout).toMatch(/^written by +an AI agent, agent$/m);
    expect(stdout).toMatch(/^body +as signed$/m);
    expect(code).toBe(0);
  });

  test('names what was changed, and fails', async () => {
    const text = sent.raw.toString('latin1').replace('We pay', 'We owe').replaceAll('\r\n', '\n');
    const { code, stdout } = await postern(['verify', write('changed.eml', text), '--url', house.url]);
    expect(stdout).toMatch(/^NOT VERIFIED: the token is genuine/);
    expect(stdout).toMatch(/^body +CHANGED$/m);
    expect(stdout).toMatch(/^subject +as signed$/m);
    expect(code).toBe(1);
  });

  test('needs nothing but a copy of the published keys', async () => {
    const document = (await house.call('GET', '/.well-known/multimail-signing-key')).json;
    const nowhere = { POSTERN_URL: 'http://127.0.0.1:9' };
    const mail = write('mail.eml', sent.raw);
    const whole = write('keys.json', JSON.stringify(document));
    const pem = write('key.pem', document.public_key_pem);
    for (const key of [whole, pem]) {
      const { code, stdout } = await postern(['verify', mail, '--key', key, '--json'], nowhere);
      expect(JSON.parse(stdout)).toMatchObject({ verified: true, kid: document.kid, bound: { body: true } });
      expect(code).toBe(0);
    }
    const none = await postern(['verify', mail], nowhere);
    expect(none.code).toBe(1);
    expect(none.stderr).toContain('the public keys cannot be had');
  });

  test('reads a token from standard input, and one that was forged does not hold', async () => {
    const [payload, signature] = sent.token.split('.');
    const field = `X-MultiMail-Identity: ${sent.token.replace(/(.{76})/g, '$1\n ')}\n`;
    expect((await postern(['verify', '-', '--url', house.url], {}, field)).code).toBe(0);
    const other = Buffer.from(JSON.stringify({ ...sent.payload, ai_generated: false })).toString('base64url');
    expect(payload).not.toBe(other);
    const forged = await postern(['verify', '-', '--url', house.url], {}, `${other}.${signature}`);
    expect(forged.stdout).toMatch(/^NOT VERIFIED: The signature does not match/);
    expect(forged.code).toBe(1);
  });

  test('what an operator calls itself does nothing to the terminal', async () => {
    const { token } = await house.runtime.signer.sign({
      ...sent.payload,
      operator_name: 'a\u001b[2Jb\u202e',
      composer: 'x\u009b',
    });
    const { stdout } = await postern(['verify', '-', '--url', house.url], {}, token);
    expect(stdout).toMatch(/^VERIFIED/);
    expect(stdout).not.toMatch(/[\u001b\u009b\u202e]/);
  });
});

test('postern identity rotate makes a new key, and lists the old one as retired', async () => {
  const env = { POSTERN_DATABASE_URL: house.runtime.database.url };
  const before = (await house.runtime.signer.current()).kid;
  const rotated = await postern(['identity', 'rotate', '--json'], env);
  expect(JSON.parse(rotated.stdout)).toMatchObject({ kid: expect.any(String), previous_kid: before });
  const listed = await postern(['identity', 'keys', '--json'], env);
  expect(JSON.parse(listed.stdout).keys).toMatchObject([{ retired_at: null }, { kid: before }]);
  expect(listed.stdout + rotated.stdout).not.toContain('PRIVATE');
  expect((await postern(['verify', write('mail.eml', sent.raw), '--url', house.url])).code).toBe(0);
});

/** As much of a page as its script asks for. */
async function openPage(hash: string): Promise<Map<string, Element>> {
  const page = await house.call('GET', '/verify');
  const script = /<script>([\s\S]*)<\/script>/.exec(page.text)![1]!;
  const elements = new Map<string, Element>();
  const element = (): Element => ({
    textContent: '',
    value: '',
    hidden: true,
    children: [],
    dataset: {},
    addEventListener(_type, handler) {
      this.submit = () => handler({ preventDefault() {} });
    },
    replaceChildren(...children) {
      this.children = children;
    },
  });
  for (const [, id] of page.text.matchAll(/\sid="([^"]+)"/g)) elements.set(id!, element());
  const document = {
    createElement: element,
    getElementById: (id: string) => elements.get(id) ?? null,
  };
  const fetched = (path: string) => fetch(new URL(path, `${house.url}/verify`));
  const web = { TextEncoder, TextDecoder, Uint8Array, atob, crypto: webcrypto, fetch: fetched };
  const context = createContext({
    ...web,
    document,
    location: { hash, host: 'ours' },
    addEventListener() {},
  });
  runInContext(script, context);
  await settled(elements);
  return elements;
}

interface Element {
  textContent: string;
  value: string;
  hidden: boolean;
  children: Element[];
  dataset: Record<string, string>;
  className?: string;
  submit?: () => void;
  addEventListener(type: string, handler: (event: object) => void): void;
  replaceChildren(...children: Element[]): void;
}

async function settled(elements: Map<string, Element>): Promise<void> {
  for (let tries = 0; elements.get('verdict')?.textContent === 'Checking …'; tries++) {
    if (tries > 500) throw new Error('the page never came to a verdict');
    await new Promise((go) => setTimeout(go, 10));
  }
}

const textOf = (elements: Element[]) => elements.map(({ textContent }) => textContent).join('\n');

describe('the page behind verify links', () => {
  test('runs no script but its own, which is named by its hash, and speaks to nobody else', async () => {
    const { text, headers } = await house.call('GET', '/verify');
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    const policy = headers.get('content-security-policy')!;
    const script = /<script>([\s\S]*)<\/script>/.exec(text)![1]!;
    const style = /<style>([\s\S]*)<\/style>/.exec(text)![1]!;
    const sha = (what: string) => `'sha256-${createHash('sha256').update(what).digest('base64')}'`;
    expect(policy).toContain(`script-src ${sha(script)};`);
    expect(policy).toContain(`style-src ${sha(style)};`);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(text).not.toMatch(/\ssrc=|https?:\/\/|innerHTML/);
    expect(text).toContain('<html lang="en">');
    for (const [, id] of text.matchAll(/<label for="([^"]+)"/g)) expect(text).toContain(`id="${id}"`);
  });

  test('tells of a genuine token who signed what', async () => {
    const page = await openPage(`#${sent.token}`);
    expect(page.get('verdict')!.textContent).toBe(
      'VERIFIED: ours signed that an AI agent wrote the message.',
    );
    expect(page.get('verdict')!.dataset.state).toBe('valid');
    expect(page.get('said')!.hidden).toBe(false);
    const members = textOf(page.get('members')!.children);
    expect(members).toContain('an AI agent (agent)');
    expect(members).toContain(sent.payload.mid);
  });

  test('compares what the reader has before him, without sending it', async () => {
    const page = await openPage(`#${sent.token}`);
    page.get('subject')!.value = 'The offer';
    page.get('recipients')!.value = 'eve@remote.example';
    page.get('message-id')!.value = `<${sent.payload.mid}>`;
    page.get('message')!.submit!();
    for (let i = 0; i < 100 && page.get('compared')!.children.length === 0; i++)
      await new Promise((go) => setTimeout(go, 10));
    expect(textOf(page.get('compared')!.children)).toBe(
      'Subject: the same\nRecipients: DIFFERENT from what was signed\nMessage-ID: the same',
    );
  });

  test.each([
    [
      'changed',
      () => `${sent.token.slice(0, 40)}A${sent.token.slice(41)}`,
      /^(NOT VERIFIED|This is not a token)/,
    ],
    ['cut off', () => sent.token.slice(0, -200), /NOT VERIFIED|not a token/],
    ['no token', () => '%E0%A4%A', /not a token/],
    ['markup', () => '<img src=x onerror=alert(1)>', /not a token/],
    [
      'of somebody else',
      () => `${Buffer.from('{"kid":"x"}').toString('base64url')}.AAAA`,
      /not signed by this/,
    ],
  ])('says so of a token that was %s', async (_what, token, verdict) => {
    const page = await openPage(`#${token()}`);
    expect(page.get('verdict')!.textContent).toMatch(verdict);
    expect(page.get('verdict')!.dataset.state).toBe('invalid');
    expect(page.get('said')!.hidden).toBe(true);
  });

  test('asks for a token where the link has none', async () => {
    const page = await openPage('');
    expect(page.get('verdict')!.textContent).toMatch(/no token/);
  });
});

/** The example of docs/identity.md, which knows nothing of ours, wants a package that not every machine has. */
function hasCryptography(): boolean {
  try {
    execFileSync('python3', ['-c', 'import cryptography, sys; assert sys.version_info >= (3, 11)'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

test.skipIf(needs('python3') || !hasCryptography())(
  'the example in Python comes to the same end',
  async () => {
    const markdown = readFileSync(join(import.meta.dirname, '../../docs/identity.md'), 'utf8');
    const program = write('verify.py', /```python\n([\s\S]*?)```/.exec(markdown)![1]!);
    const keys = write('keys.json', (await house.call('GET', '/.well-known/multimail-signing-key')).text);
    const bot = (await house.mailbox('python@ours.example', 'autonomous')).id;
    const fields = { subject: 'Grüße, e\u0301', to: ['Ana@remote.example'], cc: ['b@remote.example'] };
    const { raw } = await house.captured(
      await house.send(bot, { ...fields, markdown: 'We  pay \n\n  five.' }),
    );
    const run = (name: string, mail: Buffer | string) =>
      execFileSync('python3', [program, write(name, mail), keys], { stdio: 'pipe' }).toString();
    expect(run('mail.eml', raw)).toBe('verified: an AI agent of Postern\n');
    expect(() => run('body.eml', raw.toString('latin1').replace('five', 'nine'))).toThrow(/body_hash/);
    expect(() => run('to.eml', raw.toString('latin1').replace(/^To: /m, 'To: eve@remote.example, '))).toThrow(
      /to_hash/,
    );
  },
);

test('anyone may ask sixty times a minute, and is then told when to come back', async () => {
  const answers = [];
  for (let i = 0; i < 61; i++) answers.push(await house.verify({ identity: 'x' }));
  const last = answers.at(-1)!;
  expect([last.status, last.json.code]).toEqual([429, 'rate_limited']);
  expect(last.headers.get('retry-after')).toMatch(/^\d+$/);
});
