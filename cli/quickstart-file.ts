/** `data_dir`/quickstart.json: what scripts need to use a fresh Postern. Only its owner may read it. */
import { chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure } from './output.ts';

const text = z.string().min(1);
const port = z.int();

const Shape = z.object({
  submission: z.object({
    host: text,
    port,
    tls_port: port,
    username: text,
    password: text,
    /** What a client must trust; null when the certificate is the operator's own. */
    ca_file: text.nullable(),
  }),
  mx: z.object({ host: text, port }),
  api: z.object({ url: text, admin_key: text, agent_key: text, reviewer_key: text }),
  mailbox: z.object({ id: text, address: text, oversight_mode: text }),
  capture: z.object({ url: text }),
});
export type Quickstart = z.infer<typeof Shape>;

export function quickstartFile(dataDir: string): string {
  return join(dataDir, 'quickstart.json');
}

/** Undefined when there is none, or none that can be used; an unreadable one is an error in words. */
export function readQuickstart(file: string): Quickstart | undefined {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new Failure(`${file} cannot be read (${code})`, {
      code: 'unreadable',
      hint: 'run this as the user who started Postern, or give a key by --key or POSTERN_API_KEY',
    });
  }
  try {
    return Shape.parse(JSON.parse(content));
  } catch {
    return undefined;
  }
}

/** Written beside its place and renamed: whoever reads it sees the whole old one or the whole new one. */
export function writeQuickstart(file: string, quickstart: Quickstart): void {
  const draft = `${file}.${process.pid}`;
  try {
    writeFileSync(draft, `${JSON.stringify(quickstart, null, 2)}\n`, { mode: 0o600 });
    chmodSync(draft, 0o600); // a draft left by a crash may have had another mode
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
}
