/** Whether there is room for new mail: what was accepted already has to get out first, and needs the disk to do so. */
import { statfs } from 'node:fs/promises';
import type { Database } from '../store/database.ts';
import { countUnderway } from '../store/sweep.ts';
import type { Config } from './config.ts';

export interface RoomForMail {
  /** Undefined where it cannot be told. */
  queueFull: boolean | undefined;
  diskFull: boolean | undefined;
}

/** Looks at both watermarks. What cannot be counted is told to `failed` and holds nobody up. */
export async function roomForMail(
  { config, database }: { config: Pick<Config, 'limits' | 'data_dir'>; database: Pick<Database, 'pool'> },
  failed: (err: unknown) => void = () => {},
): Promise<RoomForMail> {
  const { queued_messages, free_disk_bytes } = config.limits;
  const [underway, free] = await Promise.all([
    countUnderway(database.pool, queued_messages).catch((err: unknown) => {
      failed(err);
      return undefined;
    }),
    freeBytes(config.data_dir),
  ]);
  return {
    queueFull: underway === undefined ? undefined : underway >= queued_messages,
    diskFull: free === undefined ? undefined : free < free_disk_bytes,
  };
}

/** Undefined where the folder does not exist: then nothing of ours is kept there. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
