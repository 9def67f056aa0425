/** The certificate our listeners show: the operator's own, or one we sign ourselves at first start. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { generate } from 'selfsigned';

export interface Certificate {
  cert: string;
  key: string;
  /** What a client must trust to verify it; undefined when the operator brought the certificate. */
  ca_file: string | undefined;
  notAfter: Date;
}

const YEARS = 10;
const DAY_MS = 86_400_000;
const MONTH_MS = 30 * DAY_MS;

/**
 * Reads the certificate, making one if none is configured; called again on SIGHUP. Throws, naming the
 * settings, when the files cannot be read or do not belong together: the old certificate stays in use then.
 */
export async function loadCertificate(
  config: { hostname: string; tls: { certificate_file?: string | undefined; key_file?: string | undefined } },
  dataDir: string,
): Promise<Certificate> {
  const { certificate_file, key_file } = config.tls;
  if (certificate_file !== undefined && key_file !== undefined)
    return { ...readPair(certificate_file, key_file), ca_file: undefined };
  const folder = join(dataDir, 'tls');
  if (!isGood(folder, config.hostname)) await make(folder, config.hostname);
  const { cert, key } = files(folder);
  return { ...readPair(cert, key), ca_file: cert };
}

function files(folder: string) {
  return { cert: join(folder, 'certificate.pem'), key: join(folder, 'key.pem') };
}

function readPair(certificateFile: string, keyFile: string): Omit<Certificate, 'ca_file'> {
  const cert = read(certificateFile, 'tls.certificate_file');
  const key = read(keyFile, 'tls.key_file');
  const parsed = parse(() => new X509Certificate(cert), certificateFile, 'tls.certificate_file');
  const privateKey = parse(() => createPrivateKey(key), keyFile, 'tls.key_file');
  if (!parsed.checkPrivateKey(privateKey))
    throw new Error(`${keyFile} (tls.key_file) is not the key of ${certificateFile} (tls.certificate_file)`);
  return { cert, key, notAfter: new Date(parsed.validTo) };
}

function read(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    throw new Error(`${file} (${setting}) cannot be read: ${(err as NodeJS.ErrnoException).code ?? err}`);
  }
}

function parse<T>(work: () => T, file: string, setting: string): T {
  try {
    return work();
  } catch {
    throw new Error(`${file} (${setting}) is not in PEM form`);
  }
}

/** Ours is made anew when it is missing or damaged, the host has another name now, or less than a month is left. */
function isGood(folder: string, hostname: string): boolean {
  const { cert, key } = files(folder);
  try {
    const { cert: pem, notAfter } = readPair(cert, key);
    const parsed = new X509Certificate(pem);
    const named = isIP(hostname) === 0 ? parsed.checkHost(hostname) : parsed.checkIP(hostname);
    return named !== undefined && notAfter.getTime() > Date.now() + MONTH_MS;
  } catch {
    return false;
  }
}

/** Made beside its place and renamed as a pair: another process may be looking, or making one as well. */
async function make(folder: string, hostname: string): Promise<void> {
  const names = [...new Set([hostname, 'localhost'])].filter((name) => isIP(name) === 0);
  const addresses = ['127.0.0.1', '::1', ...(isIP(hostname) === 0 ? [] : [hostname])];
  const now = new Date();
  const { cert, private: key } = await generate([{ name: 'commonName', value: hostname.slice(0, 64) }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    // a client whose clock is a little behind is served as well
    notBeforeDate: new Date(now.getTime() - DAY_MS),
    notAfterDate: new Date(now.getTime() + YEARS * 365 * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...names.map((value) => ({ type: 2 as const, value })),
          ...addresses.map((ip) => ({ type: 7 as const, ip })),
        ],
      },
    ],
  });
  mkdirSync(join(folder, '..'), { recursive: true, mode: 0o700 });
  const draft = mkdtempSync(`${folder}.`);
  try {
    const paths = files(draft);
    chmodSync(draft, 0o755);
    writeFileSync(paths.key, key, { mode: 0o600 });
    writeFileSync(paths.cert, cert, { mode: 0o644 });
    if (existsSync(folder)) renameSync(folder, join(draft, 'before'));
    renameSync(draft, folder);
    rmSync(join(folder, 'before'), { recursive: true, force: true });
  } catch (err) {
    if (!isGood(folder, hostname)) throw err;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}
