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
import { say, table } from '../output.ts';
import { type Common, configOf } from '../settings.ts';

export function addDoctorCommand(program: Command): void {
  command(program, 'doctor', 'look whether everything is as it must be')
    .option('--health', 'only whether the running process is ready: the health check of a container')
    .action(doctor);
}

async function doctor(options: Common & { health?: boolean }): Promise<void> {
  const config = configOf(options); // faults of it are told with all their names
  const findings =
    options.health === true
      ? [await checkRunning(config)]
      : [
          { check: 'configuration', state: 'good', says: 'no faults' } satisfies Finding,
          await checkRunning(config),
          ...(await checkDatabase(config)),
          await checkQueue(config),
          ...(await checkDoors(config)),
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
