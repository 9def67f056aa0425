/** The links by which recipients end the mail to them (RFC 8058). Looking changes nothing: scanners follow links. */
import { z } from 'zod';
import { displayAddress } from '../../core/mail/address.ts';
import { readUnsubscribeToken, type Unsubscribing } from '../../core/mail/unsubscribe-token.ts';
import { readAccount } from '../../core/store/account.ts';
import { suppress, suppressedAmong } from '../../core/store/suppressions.ts';
import { networkOf, requireRate } from '../access/limiter.ts';
import { escaped, page } from '../http/page.ts';
import { type Call, operation } from '../operation.ts';

const input = z.object({ token: z.string().min(1).max(400) });

/** The mailbox and the address of a token that we made. */
async function meant(token: string, { runtime, address }: Call): Promise<Unsubscribing | undefined> {
  await requireRate(runtime, 'unsubscribe', networkOf(address), 60, 60);
  const { secret } = await readAccount(runtime.database.pool);
  return readUnsubscribeToken(secret, token);
}

function unknown() {
  return page('This link is not known', '<p>It was changed on its way, or is not ours.</p>', 404);
}

function done(address: string) {
  return page(
    'You are unsubscribed',
    `<p>No more mail is sent from here to ${escaped(displayAddress(address))}.</p>`,
  );
}

const showUnsubscribe = operation({
  name: 'show_unsubscribe',
  summary: 'The page by which a recipient unsubscribes; looking at it changes nothing',
  area: 'suppression',
  access: 'none',
  method: 'GET',
  path: '/v1/unsubscribe/:token',
  input,
  media: ['text/html'],
  output: 'raw',
  async handle({ token }, call) {
    const found = await meant(token, call);
    if (found === undefined) return unknown();
    const already = await suppressedAmong(call.runtime.database.pool, [found.address]);
    if (already.length > 0) return done(found.address);
    return page(
      'Unsubscribe',
      `<p>End all mail from here to ${escaped(displayAddress(found.address))}?</p>
<form method="post"><button type="submit">Unsubscribe</button></form>`,
    );
  },
});

const unsubscribe = operation({
  name: 'unsubscribe',
  summary: 'Suppress the address of the link (RFC 8058)',
  area: 'suppression',
  access: 'none',
  method: 'POST',
  path: '/v1/unsubscribe/:token',
  form: true,
  input,
  media: ['text/html'],
  output: 'raw',
  async handle({ token }, call) {
    const found = await meant(token, call);
    if (found === undefined) return unknown();
    await suppress(
      call.runtime.database.pool,
      { ...found, reason: 'unsubscribe' },
      { type: 'peer', id: null, name: 'recipient' },
    );
    return done(found.address);
  },
});

export const unsubscribeOperations = [showUnsubscribe, unsubscribe];
