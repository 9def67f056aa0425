/** What one client may ask of us. Units are in the names. */
import { z } from 'zod';
import { count, flag, host, key } from './config-kinds.ts';

const MEBIBYTE = 1024 * 1024;

export const limits = z
  .strictObject({
    message_bytes: count(25 * MEBIBYTE, 'Largest message taken (SIZE, RFC 1870).', {
      min: 1024,
      max: 512 * MEBIBYTE,
    }),
    recipients: count(100, 'Recipients of one message by SMTP; RFC 5321 §4.5.3.1.8 asks for at least 100.', {
      max: 10_000,
    }),
    line_bytes: count(2048, 'Longest line of a message, CRLF included.', { min: 1000, max: 1_000_000 }),
    header_bytes: count(262_144, 'Largest header section of a message.', { min: 4096, max: 16 * MEBIBYTE }),
    received_headers: count(25, 'Received fields after which a message counts as looping (RFC 5321 §6.3).', {
      max: 1000,
    }),
    sessions: count(1000, 'SMTP sessions at one time, over all listeners.', { max: 100_000 }),
    sessions_per_address: count(50, 'SMTP sessions at one time from one client address.', { max: 100_000 }),
    errors: count(20, 'Errors after which a session is closed.', { max: 10_000 }),
    commands_idle: count(100, 'Commands without a message after which a session is closed.', {
      max: 100_000,
    }),
    idle_seconds: count(300, 'Silence after which a session is closed (RFC 5321 §4.5.3.2.7).', { max: 3600 }),
    data_seconds: count(600, 'Longest time one message may take to arrive.', { max: 86_400 }),
    auth_failures_per_session: count(3, 'Failed logins after which a session is closed.', { max: 100 }),
    auth_failures_per_address_minute: count(20, 'Failed logins a minute from one client address.', {
      max: 100_000,
    }),
    blocked_domains: key(z.array(host).default([]), {
      description: 'Domains that programs cannot write to, each with the domains below it.',
      expects: 'a list of domains',
    }),
    requests_per_key_minute: key(z.int().min(1).max(1_000_000).optional(), {
      description:
        'Requests a minute that one API key may make, counted over all processes (429 above that).',
      expects: 'a whole number from 1 to 1000000',
      fallback: 'no limit',
    }),
    monthly_sends: key(z.int().min(1).max(1_000_000_000).optional(), {
      description:
        'Messages a month (UTC) that programs may send, by API and SMTP together; above that 429, or 452. Counted while it is set.',
      expects: 'a whole number from 1 to 1000000000',
      fallback: 'no limit',
    }),
    warmup: flag(
      false,
      'Lets a new account send 50 messages a day (UTC) for ten days, then 500, then 5,000, and from the 31st day as many as it likes.',
    ),
    reputation_brake: flag(
      false,
      'Raises an alarm when more than 2 % of the mail of the last 7 days failed, and stops all sending above 5 %, or 0.3 % complaints; from 10 messages up.',
    ),
    queued_messages: count(100_000, 'Live messages above which new mail is told to come back later (452).'),
    free_disk_bytes: count(
      200 * MEBIBYTE,
      'Free space below which new mail is told to come back later (452).',
      {
        min: 0,
        max: Number.MAX_SAFE_INTEGER,
      },
    ),
  })
  .prefault({});
