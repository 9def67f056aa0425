/** Work that comes round again: the first time at once, then with a pause after each. */
export interface Rounds {
  /** Waits for the round that is under way, if any. */
  close(): Promise<void>;
}

/** Starts the rounds. `work` deals with its own failures; a pause keeps no process alive. */
export function startRounds(work: () => Promise<void>, everyMs: number): Rounds {
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let round = turn();

  async function turn(): Promise<void> {
    await work();
    if (closed) return;
    timer = setTimeout(() => {
      round = turn();
    }, everyMs).unref();
  }

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await round;
    },
  };
}
