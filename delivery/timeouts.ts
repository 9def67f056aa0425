/** How long a next hop may take to answer, in milliseconds (RFC 5321 §4.5.3.2). */
export interface Timeouts {
  connect: number;
  greeting: number;
  /** MAIL, RCPT, RSET and EHLO. */
  command: number;
  dataCommand: number;
  /** Until the socket takes more of the content. */
  dataBlock: number;
  /** After the final dot: too short a wait makes duplicates. */
  finalReply: number;
  quit: number;
}

const MINUTE = 60_000;

export const TIMEOUTS: Timeouts = {
  connect: MINUTE / 2,
  greeting: 5 * MINUTE,
  command: 5 * MINUTE,
  dataCommand: 2 * MINUTE,
  dataBlock: 3 * MINUTE,
  finalReply: 10 * MINUTE,
  quit: 2000,
};
