import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadCertificate } from '../../core/runtime/certificate.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-tls-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('the first start signs a certificate for the host and for loopback, its key readable by us alone', async () => {
  const { cert, key, ca_file, notAfter } = await loadCertificate(
    { hostname: 'mail.ours.example', tls: {} },
    folder,
  );
  const parsed = new X509Certificate(cert);
  for (const name of ['mail.ours.example', 'localhost']) expect(parsed.checkHost(name)).toBe(name);
  for (const ip of ['127.0.0.1', '::1']) expect(parsed.checkIP(ip)).toBe(ip);
  expect(parsed.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
  expect(notAfter.getTime() - Date.now()).toBeGreaterThan(9 * 365 * 86_400_000);
  expect(key).toContain('PRIVATE KEY');
  expect(readFileSync(ca_file!, 'utf8')).toBe(cert);
  expect(statSync(join(folder, 'tls/key.pem')).mode & 0o777).toBe(0o600);
});

test('later starts keep it, and another host name replaces it', async () => {
  const first = await loadCertificate({ hostname: 'a.example', tls: {} }, folder);
  expect((await loadCertificate({ hostname: 'a.example', tls: {} }, folder)).cert).toBe(first.cert);
  const other = await loadCertificate({ hostname: 'b.example', tls: {} }, folder);
  expect(new X509Certificate(other.cert).checkHost('b.example')).toBe('b.example');
});

test('two processes that start together end up with one pair', async () => {
  const both = await Promise.all(
    [1, 2].map(() => loadCertificate({ hostname: 'a.example', tls: {} }, folder)),
  );
  const { cert, key } = await loadCertificate({ hostname: 'a.example', tls: {} }, folder);
  expect(both.map((one) => new X509Certificate(one.cert).checkHost('a.example'))).toEqual([
    'a.example',
    'a.example',
  ]);
  expect(both.some((one) => one.cert === cert && one.key === key)).toBe(true);
});

test("the operator's files are used as they are, and must belong together", async () => {
  await loadCertificate({ hostname: 'a.example', tls: {} }, join(folder, '1'));
  await loadCertificate({ hostname: 'a.example', tls: {} }, join(folder, '2'));
  const file = (one: string, name: string) => join(folder, one, 'tls', name);
  const own = (certificate_file: string, key_file: string) =>
    loadCertificate({ hostname: 'x.example', tls: { certificate_file, key_file } }, folder);
  const loaded = await own(file('1', 'certificate.pem'), file('1', 'key.pem'));
  expect(loaded.ca_file).toBeUndefined();
  await expect(own(file('1', 'certificate.pem'), file('2', 'key.pem'))).rejects.toThrow(/is not the key of/);
  await expect(own(file('1', 'key.pem'), file('1', 'key.pem'))).rejects.toThrow(/certificate_file.*PEM/);
  await expect(own('/nowhere', file('1', 'key.pem'))).rejects.toThrow(/tls\.certificate_file.*ENOENT/);
});
