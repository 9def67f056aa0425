/**
 * What a job may carry: message ids, and nothing else.
 *
 * Postgres holds the truth, so a job that is lost, doubled or read by a stranger tells nothing
 * and decides nothing. What does not look like a bell is dropped; the sweeper finds the rows.
 */
import { z } from 'zod';

export const QUEUES = ['policy', 'delivery'] as const;
export type QueueName = (typeof QUEUES)[number];

/** The most ids one job carries. */
export const BUNDLE = 200;

export const BellJob = z.strictObject({
  ids: z.array(z.string().min(1).max(64)).min(1).max(BUNDLE),
});

/** The ids of a job, or undefined for anything that is no bell of ours. */
export function idsOf(data: unknown): string[] | undefined {
  const job = BellJob.safeParse(data);
  return job.success ? job.data.ids : undefined;
}
