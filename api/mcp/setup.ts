/** `setup_multimail`: how a client is connected to this Postern. The name is that of the tool clients know. */

const NEXT = {
  connected:
    'This client is connected. list_mailboxes shows the mailboxes its key may see; configure_mailbox sets one up.',
  keyless: 'This client has no key yet: take the three steps below, then start it again.',
  unknown: 'A client is connected in three steps:',
};

/** The steps, with the address as it is, for a client whose key works, that has none, or that was not asked for one. */
export function setupText({ baseUrl, client }: { baseUrl: string; client: keyof typeof NEXT }): string {
  const next = NEXT[client];
  return `Postern is a mail gateway: programs send and read, people keep the say. ${next}

1. Where it is: ${baseUrl}
   MCP over HTTP is at ${baseUrl}/mcp, REST below ${baseUrl}/v1, the reference at ${baseUrl}/docs.

2. A key, made on the machine that runs Postern, or by whoever has an admin key with create_api_key:
     postern key create my-assistant --scopes read,send
   A key that sends cannot also approve; a reviewer has a key of their own, with the scope oversight.
   Over HTTP send it as "Authorization: Bearer <key>". For a client that starts a program:
     command  postern mcp
     env      POSTERN_URL=${baseUrl}  POSTERN_API_KEY=<key>  POSTERN_MAILBOX_ID=<address, if there are several>

3. The first mailbox, if there is none:
     postern mailbox add agent@example.com --mode gated_send
   In gated_send every message waits until a person has approved it.`;
}
