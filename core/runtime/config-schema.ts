/**
 * Every setting there is: its place, its kind, its default, and the words the reference prints.
 * Keys are the same in YAML, in code and (upper case, behind POSTERN_) in the environment.
 * Rules between keys are in config-checks.ts.
 */
import { hostname } from 'node:os';
import { z } from 'zod';
import { MODES } from '../mail/mode.ts';
import { address, addressPattern } from './config-address.ts';
import { delivery, smarthost } from './config-delivery.ts';
import { trustedIssuers } from './config-identity.ts';
import {
  choice,
  count,
  flag,
  HOST_EXPECTS,
  host,
  isCidr,
  isHostname,
  isUrl,
  key,
  port,
  shortName,
} from './config-kinds.ts';
import { limits } from './config-limits.ts';

const ADDRESS = 'an e-mail address';
const PATTERN = 'an e-mail address, or *@domain for everyone at that domain';
const file = z.string().min(1);
const listenHost = (description: string) =>
  key(host.default('127.0.0.1'), { description, expects: HOST_EXPECTS });

const database = z
  .strictObject({
    url: key(
      z
        .string()
        .refine((text) => isUrl(text, 'postgres:', 'postgresql:'))
        .optional(),
      {
        description:
          'PostgreSQL 14 or newer. Without it Postern runs its own PostgreSQL with its data in `data_dir`.',
        expects: 'a URL like postgresql://user:password@host:5432/name',
        secret: true,
      },
    ),
    pool_size: count(10, 'Connections for single questions; batches have connections of their own.', {
      max: 500,
    }),
  })
  .prefault({});

const queue = z
  .strictObject({
    url: key(
      z
        .string()
        .refine((text) => text === 'postgres' || isUrl(text, 'redis:', 'rediss:'))
        .optional(),
      {
        description:
          'Redis 6.2 or newer with `maxmemory-policy noeviction`. Without it, or as `postgres`, the queue lives in PostgreSQL.',
        expects: 'a URL like redis://user:password@host:6379/0, or postgres',
        secret: true,
      },
    ),
    prefix: key(shortName.default('postern'), {
      description: 'Stands before every queue key, so that two gateways may share one Redis.',
      expects: 'letters, digits, - and _',
    }),
  })
  .prefault({});

const submission = z
  .strictObject({
    enabled: flag(true, 'Takes mail from programs that log in (RFC 6409).'),
    host: listenHost('Interface the submission listeners bind to.'),
    port: port(2587, 'Submission with STARTTLS.'),
    tls_port: port(2465, 'Submission with TLS from the first byte (RFC 8314).'),
    allow_plaintext_auth_from_loopback: flag(
      false,
      'Lets clients on this machine log in without TLS. Passwords then cross the loopback interface in clear.',
    ),
  })
  .prefault({});

const mx = z
  .strictObject({
    enabled: flag(true, 'Takes mail from the internet for mailboxes that exist; relays for nobody.'),
    host: listenHost('Interface the MX listener binds to.'),
    port: port(2525, 'Port the MX listener binds to; 25 when mail servers are to reach it directly.'),
  })
  .prefault({});

const network = z
  .strictObject({
    name: key(shortName, {
      description: 'Name of the network in logs and audit.',
      expects: 'letters, digits, - and _',
    }),
    cidrs: key(z.array(z.string().refine(isCidr)).min(1), {
      description: 'Client addresses that belong to it.',
      expects: 'a list of networks like 192.0.2.0/24 or 2001:db8::/32 (a prefix of 0 bits is refused)',
    }),
    mailbox: key(address, {
      description: 'Mailbox in whose name, and under whose mode, it sends.',
      expects: ADDRESS,
    }),
    senders: key(z.array(addressPattern).optional(), {
      description: 'Reverse-paths and From addresses it may use.',
      expects: `a list, each ${PATTERN}`,
      fallback: "the mailbox's own address",
    }),
    normalise: flag(false, 'Repairs bare CR and bare LF of old appliances instead of refusing the message.'),
  })
  .transform((network) => ({
    ...network,
    senders: network.senders ?? [network.mailbox.toLowerCase()],
  }));

const trusted = z
  .strictObject({
    enabled: flag(
      false,
      'Takes mail without a login from the listed networks, for appliances that cannot log in.',
    ),
    host: listenHost('Interface the trusted listener binds to.'),
    port: port(2526, 'Port the trusted listener binds to.'),
    networks: key(z.array(network).default([]), {
      description: 'The networks, each bound to one mailbox.',
      expects: 'a list of networks',
    }),
  })
  .prefault({});

const tls = z
  .strictObject({
    certificate_file: key(file.optional(), {
      description: 'PEM certificate chain of the SMTP listeners, read again on SIGHUP.',
      expects: 'the path of a file',
      fallback: 'self-signed, made in `data_dir`/tls',
    }),
    key_file: key(file.optional(), {
      description: 'PEM private key of that certificate.',
      expects: 'the path of a file',
      fallback: 'made with the certificate',
    }),
  })
  .prefault({});

const http = z
  .strictObject({
    host: listenHost('Interface the API and the dashboard bind to.'),
    port: port(8080, 'Port of the API and the dashboard.'),
    public_url: key(
      z
        .string()
        .refine((text) => isUrl(text, 'http:', 'https:') && new URL(text).username === '')
        .optional(),
      {
        description: 'How people reach the API from outside: used for links in mail that Postern writes.',
        expects: 'a URL like https://mail.example.com',
        fallback: '`http://host:port`',
      },
    ),
    trusted_proxies: key(z.array(z.string().refine(isCidr)).default([]), {
      description:
        'Reverse proxies in front of this port: only what they say in X-Forwarded-For counts as the address of a client.',
      expects: 'a list of networks like 192.0.2.0/24 or 2001:db8::/32 (a prefix of 0 bits is refused)',
    }),
  })
  .prefault({});

const api = z
  .strictObject({
    duplicate_window: count(
      60,
      'Seconds for which a program cannot send the same content twice without naming its requests; 0 lets it.',
      { min: 0, max: 3600 },
    ),
  })
  .prefault({});

const account = z
  .strictObject({
    name: key(z.string().trim().min(1).max(200).optional(), {
      description: 'Who operates this gateway, as recipients and receipts read it.',
      expects: 'a text of 1 to 200 characters',
      fallback: '`Postern`, or what was set by the API',
    }),
    oversight_address: key(address.optional(), {
      description:
        'Where codes, notices and reminders go, and copies of what `monitored` mailboxes send that name nobody else. Without it nothing that needs a code can be done by API.',
      expects: ADDRESS,
      fallback: 'what was set by the API',
    }),
    physical_address: key(z.string().trim().min(1).max(2000).optional(), {
      description: 'Postal address at the foot of mail that programs compose.',
      expects: 'a text of 1 to 2000 characters',
      fallback: 'what was set by the API',
    }),
  })
  .prefault({});

const oversight = z
  .strictObject({
    editor_may_approve: flag(true, 'A reviewer who edited a held message may approve it as well.'),
    notices: flag(
      true,
      'Mails the oversight address when something is held, with a link to a page where it can be decided; reminds at half time.',
    ),
  })
  .prefault({});

const mcp = z
  .strictObject({
    list_all_tools: flag(
      false,
      'Shows every tool to every key. What a key may call is decided by its scopes all the same.',
    ),
    legacy_tools: flag(false, 'Answers to the older names of tools as well; they are not listed.'),
  })
  .prefault({});

const compat = z
  .strictObject({
    text_body: flag(
      false,
      'Tells the text of a message under `text_body` too. Clients that fence `markdown` alone print it as trusted text.',
    ),
  })
  .prefault({});

const webhooks = z
  .strictObject({
    allow_hosts: key(z.array(host).default([]), {
      description: 'Hosts that webhooks may be sent to although they are private: names or IP addresses.',
      expects: 'a list of host names or IP addresses',
    }),
  })
  .prefault({});

const identity = z
  .strictObject({
    list_unsubscribe: flag(
      false,
      'Puts a link for unsubscribing into composed mail that goes to one recipient (RFC 8058).',
    ),
    trusted_issuers: trustedIssuers,
  })
  .prefault({});

const mailbox = z.strictObject({
  address: key(address, { description: 'Address of the mailbox.', expects: ADDRESS }),
  display_name: key(z.string().min(1).max(200).optional(), {
    description: 'Name people see beside the address.',
    expects: 'a text of 1 to 200 characters',
  }),
  oversight_mode: choice(MODES, 'gated_send', 'How much say people keep over its mail, loosest first.'),
  oversight_address: key(address.optional(), {
    description: 'Where copies of its outgoing mail go in `monitored`.',
    expects: ADDRESS,
    fallback: '`account.oversight_address`',
  }),
  route: key(shortName.optional(), {
    description: 'Route its outgoing mail takes.',
    expects: 'the name of a route in delivery.routes',
    fallback: '`delivery.default_route`',
  }),
  gate_timing: choice(
    ['gate_first', 'schedule_first'],
    'gate_first',
    'Whether scheduled mail is reviewed when it is accepted or when its time has come.',
  ),
  hold_expiry_hours: count(168, 'After how long held mail expires; its sender is told.', { max: 2160 }),
  allowlist: key(z.array(addressPattern).default([]), {
    description: 'Recipients that mail of a `gated_send` mailbox may reach without approval.',
    expects: `a list, each ${PATTERN}`,
  }),
});

const log = z
  .strictObject({
    level: choice(
      ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'],
      'info',
      'The least important kind of line that is written.',
    ),
  })
  .prefault({});

export const ConfigSchema = z.strictObject({
  environment: choice(['live', 'test'], 'live', '`test` marks everything this gateway does as a trial.'),
  hostname: key(
    z
      .string()
      .refine(isHostname)
      .default(() => ownHostname()),
    {
      description: 'Our name in greetings, Received and Message-ID. It should resolve to this machine.',
      expects: 'a host name',
      fallback: "the machine's name",
    },
  ),
  data_dir: key(file.default('./data'), {
    description: 'Folder of everything Postern keeps on disk.',
    expects: 'the path of a folder',
  }),
  database,
  queue,
  submission,
  mx,
  trusted,
  tls,
  limits,
  http,
  api,
  compat,
  mcp,
  account,
  webhooks,
  mailboxes: key(z.array(mailbox).default([]), {
    description: 'Mailboxes made, or brought to these settings, at start.',
    expects: 'a list of mailboxes',
  }),
  oversight,
  identity,
  delivery,
  smarthost,
  log,
});

function ownHostname(): string {
  const name = hostname().toLowerCase();
  return isHostname(name) ? name : 'localhost';
}
