import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const { scripts } = JSON.parse(readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

/** npm gives a script to a shell and hands signals to that shell, which keeps them to itself. */
test('who ends npm start ends Postern, and not a shell before it', async () => {
  const script = scripts.start!.replace(
    /cli\/postern\.js.*$/,
    `-e "console.log(process.pid); setInterval(() => {}, 1000)"`,
  );
  const shell = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(shell.stdout, 'data');
  expect(Number(said)).toBe(shell.pid);
  shell.kill('SIGTERM');
  expect(await once(shell, 'exit')).toEqual([null, 'SIGTERM']);
});
