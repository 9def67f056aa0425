/** Servers that die under load: Redis with everything in it, PostgreSQL in the middle of a commit. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../core/runtime/embedded-postgres.ts';
import { createLog } from '../../core/runtime/log.ts';
import { needs } from '../support/needs.ts';
import type { PosternProcess } from '../support/postern-process.ts';
import { startRedis } from '../support/redis.ts';
import { type House, openHouse } from './house.ts';

const QUEUED = 1000;

async function submitMany(house: House, gateway: PosternProcess, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, n) => `m${n}`);
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) await house.submit(gateway, name);
    }),
  );
}

function names(house: House): string[] {
  return house.sink.taken.map(({ name }) => name);
}

for (const fault of ['FLUSHALL', 'kill -9'] as const) {
  test.skipIf(needs('redis-server'))(
    `${QUEUED} messages queued in Redis all arrive once after ${fault}`,
    async () => {
      const redis = await startRedis();
      const house = await openHouse({ redis: redis.url });
      try {
        const gateway = await house.start('gateway');
        await submitMany(house, gateway, QUEUED); // nobody answers yet: every bell waits in Redis
        if (fault === 'FLUSHALL') await redis.client.flushall();
        else {
          await redis.kill();
          await redis.start();
          await redis.client.flushall(); // and its append-only file is of no use either
        }
        await house.start('policy');
        await house.start('delivery');
        await house.until('all to arrive', () => names(house).length >= QUEUED, { hurry: true, seconds: 60 });
        expect(new Set(names(house)).size).toBe(QUEUED);
        expect(names(house)).toHaveLength(QUEUED);
      } finally {
        await house.close();
        await redis.stop();
      }
    },
    120_000,
  );
}

test('a PostgreSQL that is killed under load costs a client a retry, and no message', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-chaos-'));
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log: createLog({ level: 'silent' }) });
  const house = await openHouse({ databaseUrl: postgres.url, inDoubt: 'retry' });
  try {
    const gateway = await house.start('gateway');
    await house.start('policy');
    await house.start('delivery');
    const accepted = new Set<string>();
    const refusals: string[] = [];
    const killer = setInterval(() => process.kill(postgres.pid, 'SIGKILL'), 1500);
    for (let n = 0; n < 300; ) {
      const batch = Array.from({ length: 10 }, (_, i) => `m${n + i}`);
      await Promise.all(
        batch.map(async (name) => {
          for (;;) {
            const id = await house.submit(gateway, name).catch((err: Error) => {
              refusals.push(err.message);
            });
            if (id !== undefined) return accepted.add(id);
            await new Promise((done) => setTimeout(done, 50));
          }
        }),
      );
      n += batch.length;
      await new Promise((done) => setTimeout(done, 100));
    }
    clearInterval(killer);
    await house.until(
      'every accepted message to arrive',
      () => {
        const arrived = new Set(house.sink.taken.map(({ id }) => id));
        return [...accepted].every((id) => arrived.has(id));
      },
      { hurry: true, seconds: 60 },
    );
    expect(refusals.length).toBeGreaterThan(0);
    // A client may be told to come back; it is never told 5xx for a fault of ours.
    expect(refusals.filter((text) => / 5\d\d /.test(text))).toEqual([]);
  } finally {
    await house.close();
    await postgres.stop('immediate');
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);
