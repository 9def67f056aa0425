/**
 * Oversight modes, loosest first. The order is the lattice: the effective mode of a message is the
 * strictest of what the mailbox, the caller and the rules ask for, so nobody but the operator loosens.
 *
 *   autonomous < monitored < gated_send < gated_all < read_only
 */
export const MODES = ['autonomous', 'monitored', 'gated_send', 'gated_all', 'read_only'] as const;
export type Mode = (typeof MODES)[number];

export function isMode(text: string): text is Mode {
  return (MODES as readonly string[]).includes(text);
}

/** The strictest of the modes given; what is not given asks for nothing. */
export function strictest(first: Mode, ...others: (Mode | null | undefined)[]): Mode {
  return others.reduce<Mode>(
    (strict, mode) => (mode != null && MODES.indexOf(mode) > MODES.indexOf(strict) ? mode : strict),
    first,
  );
}

/** True when mail under this mode needs a person (or the allowlist) before it leaves. */
export function isGated(mode: Mode): boolean {
  return MODES.indexOf(mode) >= MODES.indexOf('gated_send');
}
