/** Every error as the one JSON shape callers know; nothing else of this room speaks of errors. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';

const TITLES: Record<number, string> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Cannot be sent',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Unavailable',
};

export interface Fault {
  field: string;
  message: string;
}

/** An error that knows its answer. `extra` joins the body: it must hold nothing the caller may not see. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly extra: Record<string, unknown>;
  readonly headers: Record<string, string>;
  constructor(
    status: number,
    code: string,
    text: string,
    extra: Record<string, unknown> = {},
    headers: Record<string, string> = {},
  ) {
    super(text);
    this.name = 'Problem';
    this.status = status;
    this.code = code;
    this.extra = extra;
    this.headers = headers;
  }
}

export function notFound(what = 'There is no such resource.'): Problem {
  return new Problem(404, 'not_found', what);
}

/** One fault names its field at the top; several are listed beside the first. */
export function invalid(status: 400 | 422, code: string, faults: Fault[]): Problem {
  const first = faults[0]!;
  const where = first.field === '' ? '' : `${first.field}: `;
  return new Problem(status, code, `${where}${first.message}`, {
    ...(first.field !== '' && { field: first.field }),
    ...(faults.length > 1 && { errors: faults }),
  });
}

export function problemBody(problem: Problem): Record<string, unknown> {
  return {
    error: problem.message,
    code: problem.code,
    type: `urn:postern:error:${problem.code}`,
    title: TITLES[problem.status] ?? 'Error',
    status: problem.status,
    detail: problem.message,
    ...problem.extra,
  };
}

/** Sends the answer an error stands for. What nobody foresaw is logged with its cause and told to no one. */
export function sendProblem(err: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): void {
  const problem = toProblem(err);
  // Closed at once, a connection that still sends its body would lose the answer with it: what comes is thrown away.
  if (problem.status === 413) reply.removeHeader('connection');
  if (problem.status >= 500) log.error({ err, route: request.routeOptions?.url }, 'a request failed');
  const wantsProblem = request.headers.accept?.includes('application/problem+json') === true;
  reply
    .code(problem.status)
    .headers(problem.headers)
    .header(
      'content-type',
      `${wantsProblem ? 'application/problem+json' : 'application/json'}; charset=utf-8`,
    )
    .send(JSON.stringify(problemBody(problem)));
}

/** The answer an error stands for; what nobody foresaw is a 500 that says nothing. */
export function toProblem(err: unknown): Problem {
  if (err instanceof Problem) return err;
  const { code, statusCode, message } = err as { code?: unknown; statusCode?: unknown; message?: unknown };
  if (typeof code === 'string') {
    if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
      return new Problem(413, 'too_large', 'The request is too large.');
    if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
      return new Problem(415, 'unsupported_media_type', 'Send the body as application/json.');
    if (isOutage(code))
      return new Problem(
        503,
        'unavailable',
        'The store cannot be reached just now; nothing was changed.',
        {},
        {
          'retry-after': '5',
        },
      );
  }
  if (statusCode === 400 || (typeof statusCode === 'number' && statusCode > 400 && statusCode < 500))
    return new Problem(
      400,
      'bad_request',
      `The request cannot be read${typeof code === 'string' ? ` (${code})` : ''}.`,
    );
  if (
    message === 'timeout exceeded when trying to connect' ||
    message === 'Connection terminated unexpectedly'
  )
    return new Problem(
      503,
      'unavailable',
      'The store cannot be reached just now.',
      {},
      { 'retry-after': '5' },
    );
  return new Problem(500, 'internal_error', 'Something went wrong here. It has been logged.');
}

/** No connection, a server that is going or coming, or one that cannot write. */
function isOutage(code: string): boolean {
  return (
    /^(ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|ETIMEDOUT)$/.test(code) || /^(08|53|57P|58|25006)/.test(code)
  );
}
