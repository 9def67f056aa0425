/** Every path there is, and what is behind it: the operations' own, then those of the dialects. */

import type { Method } from '../dialects/hosted.ts';
import type { Dialect } from '../dialects/paths.ts';
import { DIALECTS, toolPaths } from '../dialects/paths.ts';
import type { Operation } from '../operation.ts';

export interface Route {
  method: Method;
  path: string;
  one: Operation;
  /** How this path differs from the operation's own; undefined for that one. */
  dialect?: Dialect;
}

/**
 * The routes of these operations, each method and path once: an operation's own path comes before a dialect's.
 * A line of a dialect whose operation is not among them is left out.
 */
export function routesOf(operations: readonly Operation[]): Route[] {
  const named = new Map(operations.map((one) => [one.name, one]));
  const routes = new Map<string, Route>();
  const add = (route: Route) => {
    const key = routeKey(route.method, route.path);
    if (!routes.has(key)) routes.set(key, route);
  };
  for (const one of operations) add({ method: one.method, path: one.path, one });
  for (const dialect of [...DIALECTS, ...toolPaths(operations)]) {
    const one = named.get(dialect.operation);
    if (one !== undefined) add({ method: dialect.method, path: dialect.path, one, dialect });
  }
  return [...routes.values()];
}

/** What makes two routes the same, whatever the members of their paths are called. */
export function routeKey(method: string, path: string): string {
  return `${method} ${path.replace(/:\w+/g, ':')}`;
}
