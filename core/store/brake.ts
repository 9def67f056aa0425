/** Whether an account may go on sending, from how its mail of late has fared. */
import type { Actor } from '../mail/actor.ts';
import { firstIdAt } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface Fared {
  /** Mail that ended, one way or the other. */
  ended: number;
  /** Of it, what came to nobody. */
  bounced: number;
  complaints: number;
}

/** How mail accepted since then has fared; what failed before sending was last allowed again does not count. */
export async function howMailFared(db: Db, since: Date): Promise<Fared> {
  const { rows } = await db.query<Fared>({
    text: `with judged as (select greatest($2, sending_judged_from) as since from account)
      select count(*)::int as ended, count(*) filter (where m.state = 'failed')::int as bounced,
             (select count(*) from suppressions s, judged j
               where s.reason = 'complaint' and s.created_at >= j.since)::int as complaints
        from messages m, judged j
       where m.id >= $1 and m.created_at >= j.since and m.direction = 'outbound' and m.kind = 'mail'
         and m.state in ('relayed', 'failed')`,
    values: [firstIdAt(since.getTime()), since],
  });
  return rows[0]!;
}

/** Whether nothing may be sent by anybody. */
export async function isSendingDisabled(db: Db): Promise<boolean> {
  const { rows } = await db.query<{ disabled: boolean }>({
    name: 'is-sending-disabled',
    text: 'select sending_disabled as disabled from account',
  });
  return rows[0]?.disabled ?? false;
}

/** Stops or allows all sending of the account, audited. False when it is so already. */
export async function switchSending(
  db: Db,
  { disabled, reason }: { disabled: boolean; reason: string | null },
  actor: Actor,
): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with changed as (
        update account set sending_disabled = $1, sending_disabled_reason = $2,
               sending_judged_from = case when $1 then sending_judged_from else now() end
         where sending_disabled <> $1 returning id)
      insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
      select 'account.updated', 'account', id, $3, $4, $5,
             jsonb_build_object('changed', array['sending_disabled'], 'sending_disabled', $1::boolean, 'reason', $2::text)
        from changed`,
    values: [disabled, reason, actor.type, actor.id, actor.name],
  });
  return (rowCount ?? 0) > 0;
}
