/** What anyone may ask to check mail from here: the public keys, the check itself, the account's reputation. */
import { z } from 'zod';
import { verifyIdentity, verifyMessage } from '../../core/mail/verify-identity.ts';
import { normalise } from '../../core/mail/wire.ts';
import { notAfter, ownKeys } from '../../core/runtime/key-ring.ts';
import { networkOf, requireRate } from '../access/limiter.ts';
import { verifyPage } from '../http/verify-page.ts';
import { Answer, operation } from '../operation.ts';
import { invalid, notFound } from '../problem.ts';
import { reputationOf } from '../reputation.ts';

const TOKEN_CHARACTERS = 16_384;
const ADDRESS_CHARACTERS = 1_000;
const ADDRESSES = 1_000;
const HOUR = { 'cache-control': 'public, max-age=3600' };

const jwk = {
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  alg: z.literal('ES256'),
  use: z.literal('sig'),
  kid: z.string(),
};

export const signingKey = operation({
  name: 'get_signing_key',
  summary: 'The public keys by which identities of mail from here are checked',
  area: 'identity',
  access: 'none',
  method: 'GET',
  path: '/.well-known/multimail-signing-key',
  input: z.object({}),
  output: z.object({
    ...jwk,
    algorithm: z.string(),
    public_key_pem: z.string(),
    keys: z.array(z.object({ ...jwk, not_after: z.string().optional() })),
  }),
  async handle(_, { runtime }) {
    const keys = await runtime.signer.keys();
    const [current] = keys;
    if (current === undefined) throw new Error('there is no key to sign with');
    return new Answer(
      200,
      {
        ...current.publicJwk,
        algorithm: 'ECDSA P-256 with SHA-256',
        public_key_pem: current.publicKey.export({ type: 'spki', format: 'pem' }) as string,
        keys: keys.map((key) => {
          const end = notAfter(key);
          return { ...key.publicJwk, ...(end !== null && { not_after: end.toISOString() }) };
        }),
      },
      HOUR,
    );
  },
});

const check = z.boolean().nullable();
const addresses = z
  .union([
    z.array(z.string().max(ADDRESS_CHARACTERS)).max(ADDRESSES),
    z.string().max(ADDRESSES * ADDRESS_CHARACTERS),
  ])
  .transform((given) => (typeof given === 'string' ? given.split(',') : given))
  .transform((list) => list.map((address) => address.trim()).filter((address) => address !== ''));

export const verify = operation({
  name: 'verify_identity',
  summary: 'Check an identity by itself, against what is known of its message, or within the whole message',
  area: 'identity',
  access: 'none',
  method: 'POST',
  path: '/v1/verify',
  repeats: 'own',
  input: z.object({
    identity: z
      .string()
      .min(1)
      .max(TOKEN_CHARACTERS)
      .optional()
      .describe('The value of X-MultiMail-Identity'),
    message_id: z.string().max(1_000).optional(),
    to: addresses.optional(),
    cc: addresses.optional(),
    subject: z.string().max(100_000).optional().describe('As it is read, decoded'),
    raw: z.string().min(1).optional().describe('The whole message instead; of up to 1 MiB'),
  }),
  output: z.object({
    valid: z.boolean(),
    reason: z.string().nullable(),
    kid: z.string().nullable(),
    payload: z.record(z.string(), z.unknown()).nullable(),
    bound: z.object({ message_id: check, recipients: check, subject: check, body: check }),
  }),
  async handle({ identity, raw, message_id, to, cc, subject }, { runtime, address }) {
    await requireRate(runtime, 'verify', networkOf(address), 60, 60);
    if ((identity === undefined) === (raw === undefined))
      throw invalid(400, 'missing_field', [{ field: 'identity', message: 'give either this or raw' }]);
    const keys = await ownKeys(runtime.signer);
    if (raw !== undefined) return verifyMessage(normalise(Buffer.from(raw)), keys);
    return verifyIdentity(identity!, keys, {
      messageId: message_id,
      recipients: to === undefined && cc === undefined ? undefined : [...(to ?? []), ...(cc ?? [])],
      subject,
    });
  },
});

export const showVerify = operation({
  name: 'show_verify',
  summary: 'The page behind verify links, which checks their token in the browser',
  area: 'identity',
  access: 'none',
  method: 'GET',
  path: '/verify',
  input: z.object({}),
  output: 'raw',
  media: ['text/html'],
  handle: async () => verifyPage(),
});

export const reputation = operation({
  name: 'get_reputation',
  summary: 'How the mail of the account behind a reputation mark fared, in words',
  area: 'identity',
  access: 'none',
  method: 'GET',
  path: '/.well-known/reputation/:hash',
  input: z.object({ hash: z.string().max(200) }),
  output: z.object({
    hash: z.string(),
    account_age_days: z.int(),
    bounce_rate: z.enum(['low', 'medium', 'high', 'unknown']),
    complaint_rate: z.enum(['low', 'medium', 'high', 'unknown']),
    rejection_rate: z.enum(['low', 'medium', 'high', 'unknown']),
    updated_at: z.string(),
  }),
  async handle({ hash }, { runtime, address }) {
    await requireRate(runtime, 'reputation', networkOf(address), 10, 3600);
    if (hash !== (await runtime.issuer.reputation())) throw notFound('There is no account of this mark.');
    return { hash, ...(await reputationOf(runtime)) };
  },
});

export const identityOperations = [signingKey, verify, showVerify, reputation];
