import { fchmodSync, fchownSync, futimesSync } from "node:fs";
import {
  type At,
  chmodAt,
  chownAt,
  hasErrno,
  pathOfAt,
  setXattr,
  utimesAt,
  utimesOf,
  type XattrTarget,
} from "@buildkit-ts/sys";
import type { TarHeader } from "@buildkit-ts/tar";

/** The largest second that fits into 64 bits of nanoseconds. */
const maxSeconds = 9_223_372_036;

/** Owner, attributes, mode and times of a file that was just written: in this order, since a new owner clears the mode's set-id bits and capabilities. */
export function setFileAttributes(fd: number, header: TarHeader): void {
  fchownSync(fd, header.uid, header.gid);
  setXattrs(fd, header);
  fchmodSync(fd, header.mode);
  const { seconds, nanoseconds } = timeOf(header);
  // Whole seconds survive the number that Node takes.
  if (nanoseconds === 0) futimesSync(fd, seconds, seconds);
  else utimesOf(fd, timesOf(header));
}

/** As {@linkcode setFileAttributes}, for what has no descriptor to write through. */
export function setNameAttributes(at: At, header: TarHeader, options: { readonly isLink: boolean }): void {
  chownAt(at, header.uid, header.gid);
  setXattrs(pathOfAt(at), header);
  if (!options.isLink) chmodAt(at, header.mode);
  utimesAt(at, timesOf(header));
}

/** The entry's time, for both of a file's. */
export function timesOf(header: TarHeader): { readonly accessNs: bigint; readonly modificationNs: bigint } {
  const { seconds, nanoseconds } = timeOf(header);
  const time = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  return { accessNs: time, modificationNs: time };
}

function timeOf(header: TarHeader): { readonly seconds: number; readonly nanoseconds: number } {
  const { mtimeSeconds, mtimeNanoseconds = 0 } = header;
  if (mtimeSeconds < 0 || mtimeSeconds >= maxSeconds) return { seconds: 0, nanoseconds: 0 };
  return { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds };
}

function setXattrs(target: XattrTarget, header: TarHeader): void {
  for (const [name, value] of header.xattrs ?? []) {
    // These would change what overlay shows; an archive has no say in that.
    if (name.startsWith("trusted.") || name.startsWith("user.overlay.")) continue;
    try {
      setXattr(target, name, value);
    } catch (error) {
      const noUserAttributes = name.startsWith("user.") && header.type !== "file" && header.type !== "directory";
      if (hasErrno(error, "ENOTSUP", "EOPNOTSUPP") || (noUserAttributes && hasErrno(error, "EPERM"))) continue;
      throw error;
    }
  }
}
