/** The account and the mailboxes of the configuration, brought to life at each start. */
import type { Actor } from '../mail/actor.ts';
import { ensureAccount } from '../store/account.ts';
import { createMailbox, findMailbox, setMode, updateMailbox } from '../store/accounts.ts';
import { setAllowlist } from '../store/allowlists.ts';
import type { MailboxConfig } from './config.ts';
import type { Runtime } from './runtime.ts';

const CONFIGURATION: Actor = { type: 'system', id: null, name: 'configuration' };

/**
 * Makes the account at the first start, and brings it to what the configuration says of it at each. What the
 * configuration leaves out stays as it was last set.
 */
export async function provisionAccount({ config, database }: Runtime): Promise<void> {
  const { name, oversight_address, physical_address } = config.account;
  await ensureAccount(
    database.pool,
    {
      ...(name !== undefined && { name }),
      ...(oversight_address !== undefined && { oversightAddress: oversight_address }),
      ...(physical_address !== undefined && { physicalAddress: physical_address }),
    },
    CONFIGURATION,
  );
}

/**
 * Makes each mailbox of the configuration, or brings it to the settings there, mode and allowlist included:
 * whoever writes the configuration is the operator, so this may also loosen. Run again, or by several
 * processes at once, it changes nothing more. Mailboxes that the configuration does not name stay as they are.
 */
export async function provisionMailboxes({ config, database, log }: Runtime): Promise<void> {
  for (const wanted of config.mailboxes) {
    await database.transaction(async (db) => {
      const made = await createMailbox(db, settingsOf(wanted), CONFIGURATION);
      const mailbox = made ?? (await findMailbox(db, wanted.address));
      if (mailbox === undefined) {
        // It was deleted, or Postern's own notices come from there: no reason to keep the others from starting.
        log.error({ mailbox: wanted.address }, 'this mailbox of the configuration can never be made again');
        return;
      }
      if (made === undefined) {
        const change = await setMode(db, mailbox.id, wanted.oversight_mode, CONFIGURATION);
        if (change !== undefined && change.previous !== change.mode)
          log.info(
            { mailbox: mailbox.id, from: change.previous, to: change.mode },
            'mode set by the configuration',
          );
        await updateMailbox(db, mailbox.id, { ...settingsOf(wanted), isActive: true }, CONFIGURATION);
      } else log.info({ mailbox: made.id }, 'mailbox made from the configuration');
      await setAllowlist(db, mailbox.id, wanted.allowlist, CONFIGURATION);
    });
  }
}

function settingsOf(mailbox: MailboxConfig) {
  return {
    address: mailbox.address,
    displayName: mailbox.display_name ?? null,
    oversightMode: mailbox.oversight_mode,
    oversightAddress: mailbox.oversight_address ?? null,
    route: mailbox.route ?? null,
    gateTiming: mailbox.gate_timing,
    holdExpiryHours: mailbox.hold_expiry_hours,
  };
}
