/** What OpenAPI says of errors and of calls that a person has to confirm: the same everywhere, so it stands once. */
import type { Operation } from '../operation.ts';

type Json = Record<string, unknown>;

const ERRORS: Readonly<Record<number, readonly [name: string, description: string]>> = {
  400: ['Malformed', 'The request is malformed; the field is named.'],
  401: ['Unauthenticated', 'No key, or none that is known.'],
  403: ['Forbidden', 'The key may not do this.'],
  404: ['NotFound', 'There is no such thing, or not for this key.'],
  409: ['Conflict', 'It contradicts what is, or what was said before.'],
  410: ['Gone', 'Its time is over.'],
  413: ['TooLarge', 'The request is too large.'],
  415: ['UnsupportedMediaType', 'The body is no JSON, or is compressed.'],
  422: ['Unprocessable', 'It is well formed and cannot be done; the field is named.'],
  429: ['TooMany', 'Too much at once, or more than a limit allows.'],
  500: ['Failed', 'Something went wrong here.'],
  503: ['Unavailable', 'It cannot be done just now; nothing was changed.'],
};

/** The errors that an operation may answer with. */
export function errorAnswers({ access, path, method, guard, area }: Operation): Json {
  const statuses = [
    400,
    ...(access === 'none' ? [] : [401, 403]),
    ...(/:/.test(path) ? [404] : []),
    ...(method === 'GET' ? [] : [409, 413, 415]),
    ...(area === 'oversight' && method !== 'GET' ? [410] : []),
    ...(method === 'GET' && guard === undefined ? [] : [422]),
    429,
    500,
    503,
  ];
  return Object.fromEntries(
    statuses.map((status) => [status, { $ref: `#/components/responses/${ERRORS[status]![0]}` }]),
  );
}

/** The components that `errorAnswers` and guarded operations refer to; none that nobody refers to. */
export function errorSchemas(operations: readonly Operation[]): Json {
  const used = new Set(operations.flatMap((one) => Object.keys(errorAnswers(one)).map(Number)));
  const responses = Object.fromEntries(
    [...used]
      .sort((a, b) => a - b)
      .map((status) => {
        const [name, description] = ERRORS[status]!;
        return [name, errorResponse(status, description)];
      }),
  );
  const guarded = operations.some(({ guard }) => guard !== undefined);
  return {
    responses: { ...responses, ...(guarded && { PendingApproval: pendingApproval }) },
    schemas: { Error: errorBody, ...(guarded && { PendingApproval: pendingBody }) },
  };
}

function errorResponse(status: number, description: string): Json {
  const schema = { $ref: '#/components/schemas/Error' };
  return {
    description,
    ...((status === 429 || status === 503) && {
      headers: { 'Retry-After': { description: 'In so many seconds.', schema: { type: 'integer' } } },
    }),
    content: { 'application/json': { schema }, 'application/problem+json': { schema } },
  };
}

const text = { type: 'string' };

const errorBody: Json = {
  type: 'object',
  description: 'RFC 9457, and the members that clients of this interface read.',
  required: ['error', 'code', 'type', 'title', 'status', 'detail'],
  properties: {
    error: { ...text, description: 'A sentence for people.' },
    code: { ...text, description: 'A word for programs.' },
    type: { ...text, description: '`urn:postern:error:` and the code.' },
    title: text,
    status: { type: 'integer' },
    detail: { ...text, description: 'The same as `error`.' },
    field: { ...text, description: 'The field it is about.' },
    errors: {
      type: 'array',
      description: 'Every field that is wrong, when there are several.',
      items: { type: 'object', properties: { field: text, message: text } },
    },
  },
};

const pendingApproval: Json = {
  description: 'A person was mailed a code. Send the same request again with it as `approval_code`.',
  content: { 'application/json': { schema: { $ref: '#/components/schemas/PendingApproval' } } },
};

const pendingBody: Json = {
  type: 'object',
  required: ['status', 'message', 'operation', 'masked_email', 'expires_at'],
  properties: {
    status: { const: 'pending_approval' },
    message: text,
    operation: text,
    masked_email: text,
    expires_at: { type: 'string', format: 'date-time' },
  },
};
