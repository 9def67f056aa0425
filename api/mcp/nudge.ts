/** A word beside the first answers of a mailbox that nobody has set up yet: what is set, and how to change it. */
import { isObject } from './protocol.ts';

const MOST = 10_000;
const SETTINGS = [
  'oversight_mode',
  'display_name',
  'auto_cc',
  'auto_bcc',
  'default_gate_timing',
  'signature_block',
];

export const SETUP_PROMPT =
  'Nobody has chosen the settings of this mailbox yet. Ask the person you work for what they should be: the oversight mode, the name that recipients see, who gets a copy, when scheduled mail is reviewed, the signature. Then call configure_mailbox once. Nothing has to wait for that.';

export interface Nudger {
  /**
   * The block to put before a result, or nothing: when it was said not long ago, when the mailbox is set up, or when
   * its settings cannot be read. `look` is asked for the mailbox at most once in the time that a word lasts.
   */
  word(of: string, look: () => Promise<unknown>): Promise<object | undefined>;
}

/** `lastsMs` is how long a key is left alone about a mailbox. */
export function nudger(lastsMs: number, now: () => number = Date.now): Nudger {
  const until = new Map<string, number>();
  return {
    async word(of, look) {
      if ((until.get(of) ?? 0) > now()) return undefined;
      until.delete(of);
      until.set(of, now() + lastsMs);
      if (until.size > MOST) until.delete(until.keys().next().value!);
      const mailbox = await look().catch(() => undefined);
      if (!isObject(mailbox) || mailbox.mcp_configured !== 0) return undefined;
      const settings = SETTINGS.map((name) => [name, mailbox[name] ?? null]);
      return {
        setup_required: true,
        current_settings: Object.fromEntries(settings),
        setup_prompt: SETUP_PROMPT,
      };
    },
  };
}
