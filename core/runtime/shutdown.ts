/**
 * The end of a process, in order: SIGTERM or SIGINT closes everything once, a second signal is impatience.
 *
 *   signal ─▶ close each in turn ─▶ exit 0        second signal, or the deadline ─▶ exit at once
 *
 * Exiting early loses nothing that was promised: what was accepted is committed.
 */
import { constants } from 'node:os';
import type { Log } from './log.ts';

export interface Ending {
  log: Pick<Log, 'info' | 'error' | 'fatal'>;
  /** Closed in this order; one that fails does not stop the others. */
  close: readonly (() => Promise<unknown>)[];
  /** Shorter than the time a container runtime waits before SIGKILL would be no use to anyone. */
  deadlineMs?: number;
  /** One Ctrl-C reaches us twice where npm or a launcher passes it on: a signal so soon after the first is the same. */
  samePressMs?: number;
  exit?: (code: number) => void;
}

/** Listens from now on. `end` begins the same ending without a signal, with the exit code to leave. */
export function endOnSignal({
  log,
  close,
  deadlineMs = 25_000,
  samePressMs = 500,
  exit = process.exit,
}: Ending): {
  end(reason: string, code?: number): Promise<void>;
  ignore(): void;
} {
  let ending: Promise<void> | undefined;
  let pressed = 0;

  const end = (reason: string, code = 0): Promise<void> => {
    ending ??= (async () => {
      log.info({ reason }, 'closing');
      const deadline = setTimeout(() => {
        log.error(
          { seconds: deadlineMs / 1000 },
          'closing took too long; leaving the rest to the next start',
        );
        exit(1);
      }, deadlineMs);
      for (const one of close) await one().catch((err: unknown) => log.error({ err }, 'closing failed'));
      clearTimeout(deadline);
      exit(code);
    })();
    return ending;
  };
  const onSignal = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (ending === undefined) {
      pressed = now;
      void end(signal);
    } else if (now - pressed >= samePressMs) exit(128 + constants.signals[signal]);
  };
  // nobody knows what state an unforeseen error leaves behind; the next start does
  const onCrash = (err: unknown) => {
    log.fatal({ err }, 'an error nobody foresaw');
    void end('crash', 1);
  };
  const signals = ['SIGTERM', 'SIGINT'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  process.on('uncaughtException', onCrash);
  return {
    end,
    ignore() {
      for (const signal of signals) process.removeListener(signal, onSignal);
      process.removeListener('uncaughtException', onCrash);
    },
  };
}
