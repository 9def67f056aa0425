/**
 * Logins that ended while somebody was logged in with them.
 *
 *   revoke, or close a mailbox ──pg_notify──▶ each gateway reads what has ended ──▶ its sessions are refused
 *
 * A session asks a set in memory at each step, so a message costs no question more. What was told while the
 * connection was away is read when it is back.
 */
import type { Db } from './database.ts';
import type { Listening } from './listening.ts';

const CHANNEL = 'postern_revoked';

/** A column for the statement that ends a login or a mailbox: it tells every process, once committed. */
export const REVOCATION_NOTICE = `pg_notify('${CHANNEL}', '')`;

/** The ids of logins that may be used no longer: revoked, or of a mailbox that is closed. */
async function endedLogins(db: Db, ids: string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    text: `select l.id from submission_logins l join mailboxes b on b.id = l.mailbox_id
            where l.id = any($1::text[]) and (l.revoked_at is not null or not b.is_active)`,
    values: [ids],
  });
  return rows.map(({ id }) => id);
}

/** What one session knows of its login. */
export interface Watch {
  ended(): boolean;
  stop(): void;
}

export interface Revocations {
  /** Where we stand before a login is looked up; goes to `watch`, so that an end between the two is not missed. */
  moment(): number;
  /** A session has logged in. */
  watch(loginId: string, since: number): Watch;
}

interface Watched {
  sessions: number;
  ended: boolean;
}

const RETRY_MS = 1_000;

/** Watches the logins of this process's sessions. */
export function openRevocations(db: Db, listening: Listening, onError: (err: unknown) => void): Revocations {
  const watched = new Map<string, Watched>();
  let heard = 0;
  let busy = false;
  let again = false;

  async function look(): Promise<void> {
    while (again) {
      again = false;
      const open = [...watched].filter(([, { ended }]) => !ended).map(([id]) => id);
      if (open.length === 0) continue;
      for (const id of await endedLogins(db, open)) {
        const known = watched.get(id);
        if (known !== undefined) known.ended = true;
      }
    }
  }

  /** What is told while we read is read once more: it may have been committed a moment too late. */
  function told(): void {
    heard += 1;
    again = true;
    if (busy) return;
    busy = true;
    look().then(
      () => {
        busy = false;
      },
      (err: unknown) => {
        busy = false;
        onError(err);
        setTimeout(told, RETRY_MS).unref();
      },
    );
  }

  listening.on(CHANNEL, told);
  listening.onReconnect(told);
  return {
    moment: () => heard,
    watch(loginId, since) {
      const known = watched.get(loginId) ?? { sessions: 0, ended: false };
      known.sessions += 1;
      watched.set(loginId, known);
      if (since !== heard) told();
      let stopped = false;
      return {
        ended: () => known.ended,
        stop() {
          if (stopped) return;
          stopped = true;
          known.sessions -= 1;
          if (known.sessions === 0 && watched.get(loginId) === known) watched.delete(loginId);
        },
      };
    },
  };
}
