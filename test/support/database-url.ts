/** Has the schema, and no session of its own: what every test's database is copied from. */
export const TEMPLATE = 'postern_template';

/** The same server, another database. */
export function databaseUrl(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}
