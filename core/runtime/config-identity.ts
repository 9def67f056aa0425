/** Whose identities of mail are believed beside our own. */
import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { publicKeyOf, thumbprint } from '../mail/token.ts';
import { isUrl, key } from './config-kinds.ts';

/** A P-256 key as PEM text or as a JWK; anything else is a fault. Its name is worked out, whatever it calls itself. */
const publicKey = z
  .union([z.string(), z.looseObject({ x: z.string(), y: z.string() })])
  .transform((given, context) => {
    try {
      const { crv, x, y } = (typeof given === 'string' ? createPublicKey(given) : publicKeyOf(given)).export({
        format: 'jwk',
      });
      if (crv === 'P-256' && x !== undefined && y !== undefined) return { kid: thumbprint({ x, y }), x, y };
    } catch {
      // told below
    }
    context.addIssue({ code: 'custom', message: 'is no public key' });
    return z.NEVER;
  });

const issuer = z.strictObject({
  service: key(
    z.string().refine((text) => isUrl(text, 'http:', 'https:')),
    {
      description: 'Base URL of the gateway, as its identities name it.',
      expects: 'a URL like https://mail.example.com',
    },
  ),
  keys: key(z.array(publicKey).min(1), {
    description: 'Its public keys, from `/.well-known/multimail-signing-key`; they are never fetched.',
    expects: 'a list of P-256 public keys, each as PEM text or as a JWK with x and y',
  }),
});

export const trustedIssuers = key(z.array(issuer).default([]), {
  description: 'Other gateways whose identity header is believed in mail that comes in.',
  expects: 'a list of issuers with service and keys',
});
