import { expect, test } from 'vitest';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { watchPressure } from '../../gateway/pressure.ts';

test('a watermark that cannot be asked is said, and refuses nobody', async () => {
  const said: string[] = [];
  const pressure = watchPressure({
    config: { limits: { queued_messages: 1, free_disk_bytes: 0 }, data_dir: '.' },
    database: { pool: { query: () => Promise.reject(new Error('no such column')) } },
    log: { warn: (_fields: unknown, text: string) => said.push(text) },
    metrics: { alarm() {} },
  } as unknown as Runtime);
  await pressure.close();
  expect(said).toEqual(['the mail on its way cannot be counted']);
  expect(pressure.refusal()).toBeUndefined();
});
