import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig, redacted } from '../../core/runtime/config.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-config-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function load(yaml: string, env: Record<string, string> = {}) {
  return loadConfig({ file: write('postern.yaml', yaml), env });
}

function faults(yaml: string, env: Record<string, string> = {}): readonly string[] {
  try {
    load(yaml, env);
  } catch (err) {
    if (err instanceof ConfigError) return err.faults;
    throw err;
  }
  return [];
}

describe('where a value comes from', () => {
  test('an empty file leaves every default', () => {
    const config = load('');
    expect(config.submission).toMatchObject({ enabled: true, host: '127.0.0.1', port: 2587, tls_port: 2465 });
    expect(config.trusted).toMatchObject({ enabled: false, networks: [] });
    expect(config.delivery).toMatchObject({
      default_route: 'capture',
      routes: { capture: { type: 'capture' } },
    });
    expect(config.delivery.in_doubt).toBe('ask');
    expect(config.database.url).toBeUndefined();
  });

  test('the environment wins over the file, and the file over the default', () => {
    const config = load('mx: { port: 25, host: 0.0.0.0 }', { POSTERN_MX_PORT: '26' });
    expect(config.mx).toEqual({ enabled: true, host: '0.0.0.0', port: 26 });
  });

  test('a nested key has its variable too', () => {
    expect(load('', { POSTERN_DELIVERY_RETRY_JITTER: '0.5' }).delivery.retry.jitter).toBe(0.5);
  });

  test.each(['false', '0', 'FALSE'])('%s switches off', (text) => {
    expect(load('', { POSTERN_MX_ENABLED: text }).mx.enabled).toBe(false);
  });

  test('a variable ending in _FILE names a file that holds the value', () => {
    const file = write('password', 's3cret\n');
    const env = { POSTERN_SMARTHOST_PASSWORD_FILE: file, POSTERN_SMARTHOST_USERNAME: 'u' };
    expect(load('smarthost: { host: mail.example }', env).smarthost.password).toBe('s3cret');
  });

  test('a key that itself ends in _file is not mistaken for one', () => {
    const env = { POSTERN_TLS_CERTIFICATE_FILE: '/c.pem', POSTERN_TLS_KEY_FILE: '/k.pem' };
    expect(load('', env).tls).toEqual({ certificate_file: '/c.pem', key_file: '/k.pem' });
  });

  test('empty variables and empty sections count as not set', () => {
    expect(load('mx:\nhttp: { public_url: }', { POSTERN_DATABASE_URL: '' })).toMatchObject({
      mx: { port: 2525 },
      database: { pool_size: 10 },
    });
  });

  test('variables of the client and of tests are not settings', () => {
    const client = ['URL', 'API_KEY', 'MAILBOX_ID', 'SEND_PASSWORD', 'TEST_X'];
    const env = Object.fromEntries(client.map((name) => [`POSTERN_${name}`, 'x']));
    expect(faults('', env)).toEqual([]);
  });

  test('POSTERN_CONFIG names the file', () => {
    const file = write('other.yaml', 'hostname: other.example');
    expect(loadConfig({ env: { POSTERN_CONFIG: file } }).hostname).toBe('other.example');
  });
});

describe('what becomes of a value', () => {
  test('addresses are canonical and senders default to the mailbox', () => {
    const config = load(`
      trusted:
        enabled: true
        networks: [{ name: printers, cidrs: [192.0.2.0/24, '2001:db8::1'], mailbox: Scan@Bücher.EXAMPLE }]
      mailboxes: [{ address: Ana@OURS.example, allowlist: ['@Partner.example', Bob@x.example] }]
    `);
    expect(config.trusted.networks[0]).toMatchObject({
      mailbox: 'Scan@xn--bcher-kva.example',
      senders: ['scan@xn--bcher-kva.example'],
    });
    expect(config.mailboxes[0]).toMatchObject({
      address: 'Ana@ours.example',
      oversight_mode: 'gated_send',
      allowlist: ['*@partner.example', 'bob@x.example'],
    });
  });

  test('smarthost.host makes the route smarthost, and makes it the default', () => {
    const { delivery } = load('', { POSTERN_SMARTHOST_HOST: 'mail.example', POSTERN_SMARTHOST_PORT: '587' });
    expect(delivery.default_route).toBe('smarthost');
    expect(delivery.routes.smarthost).toEqual({
      type: 'smarthost',
      host: 'mail.example',
      port: 587,
      tls: 'required',
    });
  });

  test('a default route that was given stays', () => {
    const config = load('smarthost: { host: mail.example }\ndelivery: { default_route: capture }');
    expect(config.delivery.default_route).toBe('capture');
  });
});

describe('faults', () => {
  test('all of them are told at once, each with key, variable and what is expected', () => {
    const found = faults('mx: { prot: 25 }\nlimits: { recipients: none }', {
      POSTERN_SUBMISION_PORT: '1',
      POSTERN_HTTP_PORT: '70000',
    });
    expect(found).toHaveLength(4);
    expect(found).toEqual(
      expect.arrayContaining([
        'POSTERN_SUBMISION_PORT: no such setting; did you mean POSTERN_SUBMISSION_PORT?',
        'mx.prot: no such setting; did you mean mx.port?',
        'http.port (POSTERN_HTTP_PORT): expected a port number from 0 to 65535, got 70000',
        'limits.recipients (POSTERN_LIMITS_RECIPIENTS): expected a whole number from 1 to 10000, got "none"',
      ]),
    );
  });

  const one: [string, string, RegExp][] = [
    ['a section that is none', 'mx: 25', /^mx: expected a section/],
    ['a file that is a list', '- a', /expected keys and values/],
    ['broken YAML', 'mx: { port: 25', /postern\.yaml: /],
    ['a key that is there twice', 'mx: {}\nmx: {}', /postern\.yaml: .*unique/],
    ['half a certificate', 'tls: { key_file: k.pem }', /^tls\.certificate_file .*missing/],
    [
      'a route nobody defined',
      'delivery: { default_route: away }',
      /^delivery\.default_route .*capture.*"away"/,
    ],
    [
      "a mailbox's route nobody defined",
      'mailboxes: [{address: a@b.example, route: x}]',
      /^mailboxes\[0\]\.route/,
    ],
    ['a mailbox that is there twice', 'mailboxes: [{address: a@b.example}, {address: A@B.example}]', /twice/],
    [
      'an address that is none',
      'mailboxes: [{address: "a@b.example\\r\\nBcc: c@d.example"}]',
      /e-mail address/,
    ],
    ['an unknown mode', 'mailboxes: [{address: a@b.example, oversight_mode: off}]', /one of autonomous/],
    ['a network without bounds', network('0.0.0.0/0'), /cidrs\[0\].*0 bits/],
    ['a network that is none', network('192.0.2.0/33'), /cidrs\[0\]/],
    ['a port used twice', 'mx: { port: 2587 }', /^mx\.port .*2587 is already that of submission\.port/],
    [
      'a login without password',
      'smarthost: { host: m.example, username: u }',
      /^smarthost\.password .*missing/,
    ],
    [
      'a password in clear',
      'smarthost: {host: m.example, username: u, password: p, tls: none}',
      /^smarthost\.tls/,
    ],
    ['a smarthost without host', 'smarthost: { port: 587 }', /^smarthost\.host .*missing/],
    ['a database that is none', 'database: { url: mysql://x }', /^database\.url .*postgresql:\/\//],
    ['a smarthost defined twice', smarthostTwice(), /^smarthost\.host .*as well/],
  ];
  test.each(one)('%s', (_, yaml, fault) => {
    expect(faults(yaml)).toEqual([expect.stringMatching(fault)]);
  });

  test('a named file that is not there', () => {
    expect(() => loadConfig({ file: '/nowhere.yaml', env: {} })).toThrow(/nowhere\.yaml: cannot be read/);
  });

  test('a secret is not repeated in a fault, nor what may hold one', () => {
    const found = faults(
      'queue: { url: "http://u:hunter2@h" }\ndelivery: { routes: [{ password: hunter2 }] }',
    );
    expect(found).toHaveLength(2);
    expect(found.join()).not.toContain('hunter2');
  });

  test.each([
    'smarthost: { host: h.example, password: *hunter2 }',
    'smarthost:\n  password: |hunter2\n',
    'smarthost:\n  password: "hunter2\n',
    'smarthost:\n  password: &a *hunter2\n',
    'smarthost: hunter2',
    'smarthost: { host: "u:hunter2@h.example" }',
    'database: postgresql://u:hunter2@h/db',
    'queue: [redis://:hunter2@h]',
    'delivery: { routes: { r: "smtp://u:hunter2@h" } }',
    'http: { public_url: "https://u:hunter2@h.example" }',
  ])('a secret in the wrong place, or in no YAML, is not repeated: %j', (yaml) => {
    const found = faults(yaml).join();
    expect(found).not.toBe('');
    expect(found).not.toContain('hunter2');
  });

  test('a hostile value stays one line', () => {
    expect(faults('hostname: "a\\nb\\u2028\\e[2J"').join()).not.toMatch(/[\n\u2028\x1b]/);
  });
});

describe('redacted', () => {
  test('passwords and what stands beside them in a URL are gone', () => {
    const config = load(
      'delivery: {routes: {x: {type: smarthost, host: h, username: u, password: hunter2}}}',
      {
        POSTERN_DATABASE_URL: 'postgresql://u:hunter2@db.example:5432/mail?password=hunter2',
        POSTERN_QUEUE_URL: 'redis://:hunter2@redis:6379/0',
      },
    );
    const shown = redacted(config);
    expect(JSON.stringify(shown)).not.toContain('hunter2');
    expect(shown.database.url).toBe('postgresql://[redacted]@db.example:5432/mail');
    expect(config.database.url).toContain('hunter2');
  });
  test.each([
    ['postgresql://u:hun@ter2@db.example/mail', 'postgresql://[redacted]@db.example/mail'],
    ['postgresql://u:a%40hunter2@db.example/mail', 'postgresql://[redacted]@db.example/mail'],
    ['postgresql:///mail?host=/run&password=hunter2', 'postgresql://[redacted]@/mail'],
  ])('also of %s', (url, shown) => {
    expect(redacted(load('', { POSTERN_DATABASE_URL: url })).database.url).toBe(shown);
  });
});

function network(cidr: string): string {
  return `trusted: { networks: [{ name: n, cidrs: ["${cidr}"], mailbox: a@b.example }] }`;
}

function smarthostTwice(): string {
  return 'smarthost: {host: a.example}\ndelivery: {routes: {smarthost: {type: smarthost, host: b.example}}}';
}
