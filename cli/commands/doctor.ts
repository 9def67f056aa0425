/** `postern doctor`: is everything as it must be? Exit code 1 when something is bad, for scripts and containers. */
import type { Command } from 'commander';
import {
  checkCertificate,
  checkDatabase,
  checkDisk,
  checkDoors,
  checkQueue,
  checkRunning,
  type Finding,
} from '../checks.ts';
import { command } from '../command.ts';
import { misuse, say, table } from '../output.ts';
import { quickstartFile, readQuickstart } from '../quickstart-file.ts';
import { type Common, configOf, placeOf, urlOf } from '../settings.ts';

export function addDoctorCommand(program: Command): void {
  command(program, 'doctor', 'look whether everything is as it must be')
    .option('--url <url>', 'address of the API (POSTERN_URL)')
    .option('--health', 'only whether the process of this configuration is ready: for containers')
    .action(doctor);
}

async function doctor(options: Common & { health?: boolean }): Promise<void> {
  if (options.health === true && options.url !== undefined)
    throw misuse('--health asks the process of this configuration, so it takes no --url');
  const config = configOf(options); // faults of it are told with all their names
  const quickstart = options.health === true ? undefined : readQuickstart(quickstartFile(config.data_dir));
  const findings =
    options.health === true
      ? [await checkRunning(urlOf(config))] // of this container, wherever its commands are sent
      : [
          { check: 'configuration', state: 'good', says: 'no faults' } satisfies Finding,
          await checkRunning(placeOf(options, config, quickstart)),
          ...(await checkDatabase(config)),
          await checkQueue(config),
          ...(await checkDoors(config, quickstart)),
          checkCertificate(config),
          checkDisk(config),
        ];
  const sick = findings.filter(({ state }) => state === 'bad');
  say(options, { status: sick.length === 0 ? 'good' : 'bad', findings }, () =>
    table(
      ['', 'check', 'says'],
      findings.map(({ state, check, says }) => [state, check, says]),
      '',
      300,
    ),
  );
  if (sick.length > 0) process.exitCode = 1;
}
