import { opspb } from "@buildkit-ts/api";
import type { ImmutableRef } from "@buildkit-ts/cache";
import type { Mount } from "@buildkit-ts/mount";
import { invalid } from "../definition/validate-op.ts";
import type { CacheSharing } from "./cache-mounts.ts";

/** A new, empty file system in memory. */
export function tmpfs({ TmpfsOpt, readonly }: opspb.Mount): readonly Mount[] {
  const size = TmpfsOpt?.size ?? 0n;
  const options = ["nosuid", ...(readonly ? ["ro"] : []), ...(size > 0n ? [`size=${size}`] : [])];
  return [{ type: "tmpfs", source: "tmpfs", options }];
}

/** Who else may use a cache directory. @throws {BuildError} `invalid_argument`. */
export function sharingOf(sharing: opspb.CacheSharingOpt): CacheSharing {
  switch (sharing) {
    case opspb.CacheSharingOpt.SHARED:
      return "shared";
    case opspb.CacheSharingOpt.PRIVATE:
      return "private";
    case opspb.CacheSharingOpt.LOCKED:
      return "locked";
    default:
      throw invalid(`invalid cache sharing option: ${sharing}`);
  }
}

/** What a mount starts from; undefined for nothing. @throws {BuildError} `invalid_argument`. */
export function inputOf(
  { input }: opspb.Mount,
  inputs: readonly (ImmutableRef | undefined)[],
): ImmutableRef | undefined {
  if (input === -1n) return undefined;
  if (input < 0n || input >= BigInt(inputs.length)) throw invalid(`missing input ${input}`);
  return inputs[Number(input)];
}
