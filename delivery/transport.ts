/** What a way out must be able to do, and how it tells what became of a message. */
import type { RecipientOutcome } from '../core/store/outcomes.ts';

/** A message on its way out: its envelope, the very bytes that were approved, and what we say of them. */
export interface Parcel {
  id: string;
  reversePath: string;
  recipients: { n: number; address: string }[];
  smtputf8: boolean;
  bytes: Buffer;
  /** Header fields of ours that go on top of them; ASCII, each with its CRLF. */
  marks: Buffer;
  /**
   * Asked before MAIL FROM and again before the final dot: whether this process still holds the message. After a
   * no, nothing more is sent.
   */
  mayGo: () => boolean;
}

/** Octets that cross the wire, before dots are stuffed (RFC 1870 §5). */
export function sizeOf({ marks, bytes }: Pick<Parcel, 'marks' | 'bytes'>): number {
  return marks.length + bytes.length;
}

/** Why a route cannot be used at all: nothing that the message did. */
export interface Trouble {
  /** `auth`, `tls`: the next hop does not take our login or our terms. `unreachable`: it is not there. */
  kind: 'auth' | 'tls' | 'unreachable';
  reason: string;
}

/** What became of one attempt: an outcome for each recipient of the parcel. */
export interface Report {
  recipients: RecipientOutcome[];
  /** `host:port`, or null when none was spoken to. */
  nextHop: string | null;
  /** The reply, or our own words, that stands for the whole attempt. */
  reply: string;
  trouble: Trouble | null;
  /** Set by a capture box: the id of the copy it keeps, and what goes on top of it. */
  captureId: string | null;
  captureMarks?: string;
}

export interface Transport {
  /** How many parcels may be on their way at once. */
  readonly capacity: number;
  /** Never rejects: whatever happens is a report. */
  send(parcel: Parcel): Promise<Report>;
  /** Lets what is under way end, for at most `withinMs`, and says goodbye. */
  close(withinMs: number): Promise<void>;
}

/** The same outcome for every recipient, in words of ours. */
export function forAll(
  parcel: Pick<Parcel, 'recipients'>,
  status: RecipientOutcome['status'],
  { code = null, enhanced, text }: { code?: number | null; enhanced: string; text: string },
): RecipientOutcome[] {
  return parcel.recipients.map(({ n, address }) => ({ n, address, status, code, enhanced, text }));
}
