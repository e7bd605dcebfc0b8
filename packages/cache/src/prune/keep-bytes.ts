/** Limits of a prune, each 0 where it is not set. */
export interface SpaceLimits {
  readonly reservedSpaceBytes: number;
  readonly maxUsedSpaceBytes: number;
  readonly minFreeSpaceBytes: number;
}

/**
 * Down to how many bytes the cache shall shrink; undefined where no limit is set.
 *
 * It begins with the most that may be used, shrinks by what the disk lacks of its minimum, and never goes below what is
 * reserved.
 */
export function keepBytes(
  limits: SpaceLimits,
  state: { readonly usedBytes: number; readonly freeBytes: number },
): number | undefined {
  const { reservedSpaceBytes, maxUsedSpaceBytes, minFreeSpaceBytes } = limits;
  if (reservedSpaceBytes === 0 && maxUsedSpaceBytes === 0 && minFreeSpaceBytes === 0) return undefined;
  const missing = minFreeSpaceBytes - state.freeBytes;
  let keep = maxUsedSpaceBytes;
  if (missing > 0) {
    const target = Math.max(0, state.usedBytes - missing);
    keep = keep === 0 ? target : Math.min(keep, target);
  } else if (minFreeSpaceBytes !== 0 && keep === 0) keep = state.usedBytes;
  return Math.max(keep, reservedSpaceBytes);
}
