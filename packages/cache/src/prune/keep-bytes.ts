/** Limits of a prune, each 0 where it is not set. */
export interface SpaceLimits {
  readonly reservedSpaceBytes: number;
  readonly maxUsedSpaceBytes: number;
  readonly minFreeSpaceBytes: number;
}

/** What is used by the cache, and free on its disk. */
export interface SpaceState {
  readonly usedBytes: number;
  readonly freeBytes: number;
}

/** Whether any limit is set. */
export function hasLimits(limits: SpaceLimits): boolean {
  return limits.reservedSpaceBytes !== 0 || limits.maxUsedSpaceBytes !== 0 || limits.minFreeSpaceBytes !== 0;
}

/**
 * Down to how many bytes the cache shall shrink; undefined where no limit is set.
 *
 * It begins with the most that may be used, shrinks by what the disk lacks of its minimum, and never goes below what is
 * reserved.
 */
export function keepBytes(limits: SpaceLimits, state: SpaceState): number | undefined {
  const { reservedSpaceBytes, maxUsedSpaceBytes, minFreeSpaceBytes } = limits;
  if (!hasLimits(limits)) return undefined;
  const missing = minFreeSpaceBytes - state.freeBytes;
  let keep = maxUsedSpaceBytes;
  if (missing > 0) {
    const target = Math.max(0, state.usedBytes - missing);
    keep = keep === 0 ? target : Math.min(keep, target);
  } else if (minFreeSpaceBytes !== 0 && keep === 0) keep = state.usedBytes;
  return Math.max(keep, reservedSpaceBytes);
}

/** Whether the limits ask for something to go; always, where there are none. */
export function exceedsLimits(limits: SpaceLimits, state: SpaceState): boolean {
  const keep = keepBytes(limits, state);
  return keep === undefined || state.usedBytes > keep;
}
