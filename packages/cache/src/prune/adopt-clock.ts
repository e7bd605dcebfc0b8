import type { CacheCore } from "../cache-core.ts";

/** Clocks are corrected by seconds all the time. */
const toleranceMs = 60_000;

/**
 * Lets records that were used in a future that did not come, as the clock was set back, count as used now. Else nothing would
 * be old enough to go until that future is there.
 *
 * @returns How many there were.
 */
export function adoptClock({ clock, registry }: CacheCore): number {
  const now = clock.now();
  const early = [...registry.all()].filter(({ values }) => (values.lastUsedAt ?? 0) > now + toleranceMs);
  for (const record of early) registry.update(record, { lastUsedAt: now });
  return early.length;
}
