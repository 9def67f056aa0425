/**
 * What Postern says and can be held to: a JSON object with its signature (ECDSA P-256 with SHA-256, RFC 7518 §3.4).
 *
 *   base64url(payload) "." base64url(r ‖ s)      both unpadded (RFC 7515 §2)
 *
 * The payload has sorted keys and no blanks, and names the key that signed it, so that a token can be checked by
 * anyone who has the published keys and nothing else.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';

/** A public key as it is published (RFC 7517); `kid` is its thumbprint (RFC 7638). */
export interface PublicJwk {
  kty: 'EC';
  crv: 'P-256';
  x: string;
  y: string;
  alg: 'ES256';
  use: 'sig';
  kid: string;
}

export interface NewSigningKey {
  kid: string;
  /** PEM, PKCS #8. */
  privateKey: string;
  publicJwk: PublicJwk;
}

/** A key that signs, as this process holds it. */
export interface SigningKey {
  kid: string;
  privateKey: KeyObject;
}

export type Payload = Record<string, unknown>;

/** `unknown_key`: the payload names a key that the reader does not have. */
export interface ReadToken {
  payload: Payload;
  kid: string | null;
  signature: 'valid' | 'invalid' | 'unknown_key';
}

/** More than any token we make; longer ones are not looked at. */
const TOKEN_CHARACTERS = 16_384;
/** Deeper than anything we sign; what is deeper still was made to trouble whoever walks through it. */
const DEPTH = 4;
const RAW = 'ieee-p1363'; // r ‖ s instead of DER

export function newSigningKey(): NewSigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string };
  const kid = thumbprint({ x, y });
  return {
    kid,
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicJwk: { kty: 'EC', crv: 'P-256', x, y, alg: 'ES256', use: 'sig', kid },
  };
}

/** The name of a P-256 key (RFC 7638 §3). */
export function thumbprint({ x, y }: { x: string; y: string }): string {
  return createHash('sha256')
    .update(canonicalJson({ crv: 'P-256', kty: 'EC', x, y }))
    .digest('base64url');
}

/** Throws for what is no key of this kind. */
export function publicKeyOf({ x, y }: { x: string; y: string }): KeyObject {
  return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
}

/** JSON with sorted keys and no blanks; members that are undefined are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((one) => canonicalJson(one ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = value as Payload;
  const names = Object.keys(members)
    .filter((name) => members[name] !== undefined)
    .sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalJson(members[name])}`).join(',')}}`;
}

/** The token over `payload` and the name of the key, which becomes its member `kid`. */
export function signToken(payload: object, { kid, privateKey }: SigningKey): string {
  const bytes = Buffer.from(canonicalJson({ ...payload, kid }));
  // Asked for r ‖ s, Node takes twice as long as for DER.
  const signature = rawOf(sign('sha256', bytes, privateKey));
  return `${bytes.toString('base64url')}.${signature.toString('base64url')}`;
}

/**
 * What a token says and whether it holds. White space within is left out of account, for a header field is folded.
 * Undefined for what has not the form of a token.
 */
export function readToken(
  text: string,
  keyCalled: (kid: string) => KeyObject | undefined,
): ReadToken | undefined {
  if (text.length > TOKEN_CHARACTERS) return undefined;
  const [written, signed, ...rest] = text.replace(/\s+/g, '').split('.');
  const bytes = fromBase64url(written ?? '');
  const signature = fromBase64url(signed ?? '');
  const payload = bytes === undefined ? undefined : readPayload(bytes);
  if (rest.length > 0 || bytes === undefined || signature === undefined || payload === undefined)
    return undefined;
  const kid = typeof payload.kid === 'string' ? payload.kid : null;
  const key = kid === null ? undefined : keyCalled(kid);
  if (key === undefined) return { payload, kid, signature: 'unknown_key' };
  const holds = signature.length === 64 && verify('sha256', bytes, { key, dsaEncoding: RAW }, signature);
  return { payload, kid, signature: holds ? 'valid' : 'invalid' };
}

/** The two integers of a DER signature (RFC 3279 §2.2.3), each in 32 bytes. */
function rawOf(der: Buffer): Buffer {
  const raw = Buffer.alloc(64);
  let at = 2; // behind the tag and the length of the sequence
  for (const end of [32, 64]) {
    const length = der[at + 1]!;
    const integer = der.subarray(at + 2, at + 2 + length);
    const digits = integer.subarray(Math.max(0, length - 32)); // without the zero that says it is positive
    digits.copy(raw, end - digits.length);
    at += 2 + length;
  }
  return raw;
}

/** Node reads over what is not base64url; here one value is spelt in one way only. */
function fromBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return text !== '' && bytes.toString('base64url') === text ? bytes : undefined;
}

function readPayload(bytes: Buffer): Payload | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject && isFlat(value, DEPTH) ? (value as Payload) : undefined;
  } catch {
    return undefined;
  }
}

function isFlat(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((one) => isFlat(one, depth - 1));
}
