/** One attempt: what is about to leave is checked against what was approved, then handed to the way out. */
import { contentSha256, messageDigest } from '../core/mail/digest.ts';
import { oneLine } from '../core/mail/text.ts';
import { checkLineEndings } from '../core/mail/wire.ts';
import type { Claim } from '../core/store/claiming.ts';
import type { Body } from './bodies.ts';
import type { Marker } from './marks.ts';
import { forAll, type Parcel, type Report, type Transport } from './transport.ts';

export interface Attempt {
  report: Report;
  /** Whether it came so far that the report says something about the route. */
  sent: boolean;
  /** True when what is stored is not what was approved: someone should look. */
  tampered: boolean;
}

/** Never rejects. */
export async function attempt(
  claim: Claim,
  body: Body,
  transport: Transport,
  marker: Marker,
  mayGo: () => boolean,
): Promise<Attempt> {
  let failing = 'the content could not be read from the store';
  try {
    const bytes = await body.bytes();
    const fault = faultOf(claim, bytes);
    if (fault !== undefined) return { report: refusal(claim, 'failed', fault), sent: false, tampered: true };
    failing = 'its identity could not be signed';
    const marks = await marker(claim, bytes!);
    const parcel = { bytes: bytes!, marks, mayGo };
    return { report: await send(claim, parcel, transport), sent: true, tampered: false };
  } catch (err) {
    const report = refusal(claim, 'deferred', { enhanced: '4.3.0', text: failing });
    return {
      report: { ...report, reply: `${failing}: ${(err as Error).message}` },
      sent: false,
      tampered: false,
    };
  } finally {
    body.done();
  }
}

/** A transport reports and never throws. If one does, nobody knows how far it came: that is a doubt, not a delay. */
async function send(
  claim: Claim,
  parcel: Pick<Parcel, 'bytes' | 'marks' | 'mayGo'>,
  transport: Transport,
): Promise<Report> {
  const { id, reversePath, recipients, smtputf8 } = claim;
  try {
    return await transport.send({ id, reversePath, recipients, smtputf8, ...parcel });
  } catch (err) {
    const text = `an error nobody foresaw while it was sent: ${oneLine((err as Error).message, 200)}`;
    return {
      recipients: forAll(claim, 'in_doubt', { enhanced: '4.3.0', text }),
      nextHop: null,
      reply: text,
      trouble: null,
      captureId: null,
    };
  }
}

interface Fault {
  enhanced: string;
  text: string;
}

/**
 * The approval is bound to this digest, so other bytes or another envelope must not go out under it. The wire
 * rules were checked at the door; a row that came another way is checked here.
 */
function faultOf(claim: Claim, bytes: Buffer | undefined): Fault | undefined {
  if (bytes === undefined) return { enhanced: '5.3.0', text: 'the stored content is gone' };
  const digest = messageDigest({ ...claim, contentSha256: contentSha256(bytes) });
  const everyone = new Set(claim.forwardPaths);
  if (digest !== claim.digest || !claim.recipients.every(({ address }) => everyone.has(address))) {
    return { enhanced: '5.7.0', text: 'stored content does not match what was approved' };
  }
  const { bareCr, bareLf, nul } = checkLineEndings(bytes);
  if (bareCr || bareLf || nul) {
    return { enhanced: '5.6.0', text: 'stored content holds a bare CR, a bare LF or a NUL' };
  }
  if (!claim.recipients.every(({ address }) => isPath(address)) || !isPath(claim.reversePath)) {
    return { enhanced: '5.1.0', text: 'a stored address is no address' };
  }
  return undefined;
}

/** What may stand between angle brackets without ending them or the line. */
function isPath(address: string): boolean {
  return !/[\x00-\x20<>\x7f]/.test(address);
}

function refusal(claim: Claim, status: 'failed' | 'deferred', { enhanced, text }: Fault): Report {
  return {
    recipients: forAll(claim, status, { enhanced, text }),
    nextHop: null,
    reply: `${enhanced} ${text}`,
    trouble: null,
    captureId: null,
  };
}
