/** The operations as an OpenAPI 3.1 document. The dialects are not in it: it says the one way to write something new. */

import { z } from 'zod';
import type { Area, Operation } from '../operation.ts';
import { VERSION } from './health.ts';
import { errorAnswers, errorSchemas } from './openapi-errors.ts';

type Json = Record<string, unknown>;

const AREAS: Readonly<Record<Area, string>> = {
  emails: 'Mail: sent, listed, read, tagged, taken back.',
  oversight: 'What waits for a person, and what they decide.',
  audit: 'What happened, who did it, and the proof that nothing was changed since.',
  capture: 'Mail that was caught instead of sent, where the configuration says so.',
  queue: 'What is on its way.',
  mailboxes: 'Mailboxes, how much oversight each has, and who its mail may go to without approval.',
  contacts: 'Names and addresses.',
  suppression: 'Addresses that get no more mail.',
  webhooks: 'Who is told when something happens.',
  keys: 'API keys.',
  logins: 'Credentials of SMTP clients.',
  account: 'The account, its usage, and all its data.',
  domains: 'Domains that mail is sent from.',
  identity: 'Public documents by which anyone can check what Postern says of a message.',
  support: 'Notes to whoever runs this Postern.',
};

/** The document. It depends on nothing but what is passed, so it can be made once. */
export function openApi(operations: readonly Operation[], baseUrl: string): Json {
  const paths: Record<string, Json> = {};
  for (const one of operations) {
    const path = one.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: entry(one) };
  }
  const areas = new Set(operations.map(({ area }) => area));
  return {
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version: VERSION,
      summary: 'Mail that programs send and people keep the say over.',
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: baseUrl }],
    tags: Object.entries(AREAS)
      .filter(([name]) => areas.has(name as Area))
      .map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, as a bearer token.' },
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-API-Key',
          description: 'The same key, in a header of its own.',
        },
      },
      ...errorSchemas(operations),
    },
  };
}

function entry(one: Operation): Json {
  const names = [...one.path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
  const shape = one.input.shape as Record<string, z.ZodType>;
  const rest = Object.entries(shape).filter(([name]) => !names.includes(name));
  const parameters = [
    ...names.map((name) => parameter('path', name, shape[name] ?? z.string())),
    ...(one.method === 'GET' ? rest.map(([name, type]) => parameter('query', name, type)) : []),
    ...headers(one),
  ];
  return {
    operationId: one.name,
    summary: one.summary,
    description: described(one),
    tags: [one.area],
    security: one.access === 'none' ? [] : [{ bearer: [] }, { apiKey: [] }],
    ...(one.tool !== undefined && { 'x-mcp-tool': one.name }),
    ...(parameters.length > 0 && { parameters }),
    ...(one.method !== 'GET' &&
      rest.length > 0 && { requestBody: requestBody(one, Object.fromEntries(rest)) }),
    responses: { ...answers(one), ...errorAnswers(one) },
  };
}

function described({ access, confined, guard, strict }: Operation): string {
  const scopes = [access].flat();
  return [
    access === 'none'
      ? 'Asks for no key.'
      : access === 'any'
        ? 'Any key will do.'
        : `Scope: ${scopes.join(' or ')}.`,
    access !== 'none' && confined !== true ? 'Not for a key that is bound to one mailbox.' : '',
    guard === undefined
      ? ''
      : 'A person may have to confirm it: 202, then the same request with `approval_code`.',
    strict === true ? 'Unknown fields are refused.' : '',
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

function parameter(where: 'path' | 'query', name: string, type: z.ZodType): Json {
  const { description, ...schema } = schemaOf(type, 'input');
  return {
    name,
    in: where,
    ...(description !== undefined && { description }),
    required: where === 'path' || !type.safeParse(undefined).success,
    schema,
  };
}

function headers({ method, repeats, access, guard }: Operation): Json[] {
  const told: Json[] = [];
  if (method === 'POST' && access !== 'none')
    told.push({
      name: 'Idempotency-Key',
      in: 'header',
      required: false,
      description:
        repeats === 'own'
          ? 'The same as `idempotency_key`: a repeat within 24 hours answers with the first message.'
          : 'A repeat within 24 hours is answered as the first request was, with `Idempotency-Replayed: true`.',
      schema: { type: 'string', minLength: 1, maxLength: 200 },
    });
  if (guard !== undefined)
    told.push({
      name: 'X-Approval-Code',
      in: 'header',
      required: false,
      description: 'The same as `approval_code`.',
      schema: { type: 'string', maxLength: 16 },
    });
  return told;
}

function requestBody(one: Operation, rest: Record<string, z.ZodType>): Json {
  const type = z.object(rest);
  const schema = schemaOf(one.strict ? type.strict() : type, 'input');
  return {
    required: !type.safeParse({}).success,
    content: {
      'application/json': { schema },
      ...(one.form && { 'application/x-www-form-urlencoded': { schema } }),
    },
  };
}

function answers(one: Operation): Json {
  const usual = one.status ?? 200;
  const told: Record<string, Json> = { [usual]: answer(one, usual, one.output) };
  for (const [status, type] of Object.entries(one.also ?? {}))
    told[status] = answer(one, Number(status), type);
  if (one.guard !== undefined) told[202] ??= { $ref: '#/components/responses/PendingApproval' };
  return told;
}

const SUCCESS: Readonly<Record<number, string>> = {
  200: 'Done.',
  201: 'Made.',
  202: 'Accepted.',
};

function answer({ media }: Operation, status: number, type: z.ZodType | 'raw'): Json {
  const description = SUCCESS[status] ?? 'Answered.';
  if (type !== 'raw')
    return { description, content: { 'application/json': { schema: schemaOf(type, 'output') } } };
  const kinds = media ?? ['application/octet-stream'];
  return {
    description,
    content: Object.fromEntries(kinds.map((kind) => [kind, { schema: { type: 'string' } }])),
  };
}

/** A type as JSON Schema. What a transformation makes of it is nobody's business outside, so it is told as it is sent. */
function schemaOf(type: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(type, {
    io,
    unrepresentable: 'any',
    target: 'draft-2020-12',
  }) as Json;
  return schema;
}
