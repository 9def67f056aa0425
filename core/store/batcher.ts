/**
 * Group commit. Work that arrives while a commit is under way waits for it and then goes together in one
 * statement: an idle gateway adds no wait, a busy one pays one fsync for many messages.
 *
 *   add ─▶ waiting ──(previous flush returned)──▶ run(items) ─▶ each caller gets its own result
 *
 * `lingerMs` lets a lane that feeds a later step collect a little longer: a flush begins no sooner than
 * that after the one before it began. The door never lingers.
 */
export interface Batcher<In, Out> {
  /** Resolves when the statement that carries `item` has been committed. */
  add(item: In): Promise<Out>;
  /** Waits for everything added so far. */
  drain(): Promise<void>;
}

export interface BatchOptions<In, Out> {
  /** One statement for all items; results in the order of the items. */
  run: (items: In[]) => Promise<Out[]>;
  max?: number;
  lingerMs?: number;
  /** The weight of an item in bytes; a flush takes no more than `maxWeight` unless one item alone exceeds it. */
  weigh?: (item: In) => number;
  maxWeight?: number;
  onFlush?: (size: number) => void;
}

interface Waiting<In, Out> {
  item: In;
  resolve: (out: Out) => void;
  reject: (err: unknown) => void;
}

export function batcher<In, Out>(options: BatchOptions<In, Out>): Batcher<In, Out> {
  const { run, max = 200, lingerMs = 0, weigh = () => 0, maxWeight = 8 << 20 } = options;
  let waiting: Waiting<In, Out>[] = [];
  let flushing = false;
  let lastBegan = 0;
  let idle: (() => void)[] = [];

  function take(): Waiting<In, Out>[] {
    let count = 0;
    let weight = 0;
    while (count < waiting.length && count < max) {
      weight += weigh(waiting[count]!.item);
      if (count > 0 && weight > maxWeight) break;
      count += 1;
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return batch;
  }

  async function flush(): Promise<void> {
    flushing = true;
    // Whatever the same turn of the event loop still adds joins this flush.
    await new Promise<void>((go) => setImmediate(go));
    while (waiting.length > 0) {
      const early = lastBegan + lingerMs - performance.now();
      if (early > 0.5) await new Promise((go) => setTimeout(go, early));
      lastBegan = performance.now();
      const batch = take();
      options.onFlush?.(batch.length);
      await settle(batch, run);
    }
    flushing = false;
    for (const done of idle) done();
    idle = [];
  }

  return {
    add(item) {
      return new Promise<Out>((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        if (!flushing) void flush();
      });
    },
    drain() {
      if (!flushing) return Promise.resolve();
      return new Promise((done) => idle.push(done));
    },
  };
}

async function settle<In, Out>(batch: Waiting<In, Out>[], run: (items: In[]) => Promise<Out[]>) {
  try {
    const results = await patiently(() => run(batch.map(({ item }) => item)));
    // An item without an answer must not pass for one that was committed.
    if (results.length !== batch.length) throw new Error('a batch did not answer each of its items');
    batch.forEach(({ resolve }, i) => {
      resolve(results[i] as Out);
    });
  } catch (err) {
    if (batch.length === 1 || !isTheDatasFault(err)) {
      for (const { reject } of batch) reject(err);
      return;
    }
    // One item that the database cannot take must not refuse its neighbours.
    for (const one of batch) await settle([one], run);
  }
}

const TRIES = 3;

/** Runs again what the database undid only because somebody else was in the way (deadlock, serialization). */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (err) {
      if (attempt === TRIES || !sqlstate(err).startsWith('40')) throw err;
      await new Promise((go) => setTimeout(go, Math.random() * 10 * attempt));
    }
  }
}

/** SQLSTATE classes 22 and 23 blame the data: asked again, the database would say the same. */
export function isTheDatasFault(err: unknown): boolean {
  return /^(22|23)/.test(sqlstate(err));
}

function sqlstate(err: unknown): string {
  const code = (err as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}
