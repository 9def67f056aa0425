/** How much was sent, received, asked and decided. */
import { z } from 'zod';
import { callsOf, type DayCount, EVENT_TYPES, type EventType, usageByDay } from '../../core/store/usage.ts';
import { operation } from '../operation.ts';
import { invalid } from '../problem.ts';
import { monthOf } from './account.ts';

const LAST_MS = 8.64e15;
const when = z.coerce.number().int().min(0).max(LAST_MS);
const detail = z.enum(['summary', 'daily']);

const Summary = z.object({
  from: z.number(),
  to: z.number(),
  emails_sent: z.number(),
  emails_received: z.number(),
  api_calls: z.number(),
  oversight_actions: z.number(),
});
const Daily = z.object({
  from: z.number(),
  to: z.number(),
  breakdown: z.literal('daily'),
  data: z.array(z.object({ date: z.string(), event_type: z.string(), count: z.number() })),
});

const showUsage = operation({
  name: 'get_usage',
  summary: 'Mail sent and received, calls and decisions in a span of time, together or by day',
  area: 'account',
  access: 'read',
  method: 'GET',
  path: '/v1/usage',
  input: z.object({
    from: when.optional().describe('Epoch milliseconds; the beginning of this month in UTC'),
    to: when.optional().describe('Epoch milliseconds, not included; now'),
    breakdown: detail.optional().describe('daily for counts by day of UTC'),
    period: detail.optional().describe('The same as breakdown'),
  }),
  output: z.union([Daily, Summary]),
  tool: {
    description:
      'Count the mail sent and received this month, the calls made and the decisions taken; with period daily, by day.',
    takes: ['period'],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(input, { runtime }) {
    const now = new Date();
    const from = input.from ?? monthOf(now).getTime();
    const to = input.to ?? now.getTime();
    if (from > to) throw invalid(400, 'invalid_field', [{ field: 'to', message: 'must not be before from' }]);
    if (input.breakdown !== undefined && input.period !== undefined && input.breakdown !== input.period)
      throw invalid(400, 'conflicting_fields', [
        { field: 'breakdown', message: 'is given twice, with different values' },
      ]);
    await callsOf(runtime.database.pool).flush();
    const days = await usageByDay(runtime.database.pool, new Date(from), new Date(to));
    if ((input.breakdown ?? input.period) === 'daily')
      return {
        from,
        to,
        breakdown: 'daily' as const,
        data: days.map(({ date, eventType, count }) => ({ date, event_type: eventType, count })),
      };
    return { from, to, ...totals(days) };
  },
});

function totals(days: DayCount[]): Record<EventType, number> {
  const sums = Object.fromEntries(EVENT_TYPES.map((type) => [type, 0])) as Record<EventType, number>;
  for (const { eventType, count } of days) sums[eventType] += count;
  return sums;
}

export const usageOperations = [showUsage];
