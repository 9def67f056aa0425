/** To whom a program may write. */
import { type Draft, forwardPathsOf } from '../../core/compose/draft.ts';
import { domainOf } from '../../core/mail/address.ts';
import type { Call } from '../operation.ts';
import { Problem } from '../problem.ts';

/** Throws for recipients that cannot be written to. */
export async function refuseRecipients(
  draft: Pick<Draft, 'to' | 'cc' | 'bcc' | 'autoCc' | 'autoBcc'>,
  { runtime }: Call,
): Promise<void> {
  const { blocked_domains } = runtime.config.limits;
  const all = forwardPathsOf(draft);
  const blocked = all.filter((address) => isBlocked(domainOf(address), blocked_domains));
  if (blocked.length > 0)
    throw new Problem(422, 'domain_blocked', `This gateway does not write to ${blocked.join(', ')}.`, {
      addresses: blocked,
    });
  const suppressed = [...(await runtime.suppressed.among(all)).keys()];
  if (suppressed.length > 0)
    throw new Problem(
      422,
      'recipient_suppressed',
      `Mail to ${suppressed.join(', ')} bounced, or was not wanted. An admin can lift that.`,
      { addresses: suppressed },
    );
}

function isBlocked(domain: string, blocked: readonly string[]): boolean {
  return blocked.some((one) => domain === one.toLowerCase() || domain.endsWith(`.${one.toLowerCase()}`));
}
