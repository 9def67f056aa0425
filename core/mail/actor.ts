/** Who did something, as the audit log names them. `id` is the key's, user's, login's or network's; null for strangers. */
export interface Actor {
  type: 'key' | 'user' | 'login' | 'network' | 'peer' | 'system';
  id: string | null;
  name: string;
}

/** Postern itself, by the room that acted. */
export function system(room: 'gateway' | 'policy' | 'delivery' | 'api' | 'cli' | 'sweeper'): Actor {
  return { type: 'system', id: null, name: room };
}
