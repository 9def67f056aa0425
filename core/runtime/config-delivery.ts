/** The ways out and the patience on them. */
import { z } from 'zod';
import { choice, count, HOST_EXPECTS, host, key, shortName } from './config-kinds.ts';

const file = z.string().min(1);

const smarthostKeys = {
  port: count(25, 'Port of the next hop.', { max: 65_535 }),
  tls: choice(
    ['required', 'opportunistic', 'none'],
    'required',
    'TLS to the next hop: `required` verifies its certificate and keeps mail back without it.',
  ),
  username: key(z.string().min(1).optional(), { description: 'Login at the next hop.', expects: 'a text' }),
  password: key(z.string().min(1).optional(), {
    description: 'Password of that login.',
    expects: 'a text',
    secret: true,
  }),
  ca_file: key(file.optional(), {
    description: 'PEM certificates to trust for the next hop instead of the public ones.',
    expects: 'the path of a file',
  }),
  servername: key(host.optional(), {
    description: 'Name its certificate must bear, where it is not `host`.',
    expects: HOST_EXPECTS,
  }),
};

const captureRoute = z.strictObject({
  type: key(z.literal('capture'), {
    description: 'Mail lands in a local box that API and CLI can read; nothing leaves this machine.',
    expects: 'capture or smarthost',
  }),
});

const smarthostRoute = z.strictObject({
  type: key(z.literal('smarthost'), {
    description: 'Mail is handed to one next hop.',
    expects: 'capture or smarthost',
  }),
  host: key(host, { description: 'Name or address of the next hop.', expects: HOST_EXPECTS }),
  ...smarthostKeys,
});

export const smarthost = z
  .strictObject({
    host: key(host.optional(), {
      description:
        'Short for a route named `smarthost` in delivery.routes, which then is also the default route.',
      expects: HOST_EXPECTS,
    }),
    ...smarthostKeys,
  })
  .prefault({});

const retry = z
  .strictObject({
    first_seconds: count(60, 'Wait before the second attempt.', { max: 86_400 }),
    factor: key(z.number().min(1).max(10).default(2), {
      description: 'By how much each wait is longer than the one before.',
      expects: 'a number from 1 to 10',
    }),
    max_seconds: count(7200, 'The longest wait between two attempts.', { max: 604_800 }),
    jitter: key(z.number().min(0).max(0.9).default(0.2), {
      description:
        'Share of a wait that is random, so that mail held back together does not return together.',
      expects: 'a number from 0 to 0.9',
    }),
  })
  .prefault({});

export const delivery = z
  .strictObject({
    default_route: key(shortName.default('capture'), {
      description: 'Route of mail whose mailbox names none.',
      expects: 'the name of a route in delivery.routes',
      fallback: '`capture`, or `smarthost` when `smarthost.host` is set',
    }),
    connections_per_host: count(10, 'Connections kept open to one next hop.', { max: 1000 }),
    messages_per_connection: count(1000, 'Messages after which a connection is replaced.'),
    retry,
    give_up_after_hours: count(120, 'After how long mail that keeps failing is returned to its sender.', {
      max: 8760,
    }),
    delay_notice_after_hours: count(4, 'After how long the sender is told of the delay; 0 tells nobody.', {
      min: 0,
      max: 8760,
    }),
    in_doubt: choice(
      ['ask', 'retry'],
      'ask',
      'What becomes of mail whose fate a crash made unknown: `ask` waits for a person, `retry` may send it twice.',
    ),
    lease_seconds: count(15, 'After how long of silence a delivery worker is taken for dead.', {
      min: 3,
      max: 600,
    }),
    routes: key(
      z.record(shortName, z.discriminatedUnion('type', [captureRoute, smarthostRoute])).default({}),
      {
        description: 'The ways out, by name. `capture` is always there.',
        expects: 'a map from names to routes',
      },
    ),
  })
  .prefault({});
