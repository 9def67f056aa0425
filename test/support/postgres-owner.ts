/** A process that runs PostgreSQL on the folder it is given, until it is told or made to end. */
import { startEmbeddedPostgres } from '../../core/runtime/embedded-postgres.ts';
import { createLog } from '../../core/runtime/log.ts';

const postgres = await startEmbeddedPostgres({
  dataDir: process.argv[2]!,
  log: createLog({ level: 'silent' }),
}).catch((err: unknown) => {
  process.stdout.write(`${JSON.stringify({ error: String(err) })}\n`);
  process.exit(1);
});
process.stdout.write(`${JSON.stringify({ url: postgres.url, pid: postgres.pid })}\n`);
process.once('SIGTERM', () => void postgres.stop().then(() => process.exit(0)));
setInterval(() => {}, 60_000);
