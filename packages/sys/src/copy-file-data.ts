import { ftruncateSync, readSync, writeSync } from "node:fs";
import { NativeCall } from "./native-call.ts";
import { hasErrno } from "./system-error.ts";

const copyFileRange = new NativeCall(
  "copy_file_range",
  "int64_t copy_file_range(int, void *, int, void *, size_t, unsigned int)",
);
const ioctl = new NativeCall("ioctl", "int ioctl(int, unsigned long, int)");
const FICLONE = 0x40049409;
// Small enough that an abort between two pieces is soon noticed.
const pieceBytes = 64 * 1024 * 1024;

/**
 * Copies all bytes of one open file into another empty one, both at their beginning: as a reflink where the file system
 * can, inside the kernel otherwise, so that they never enter this process unless nothing else works.
 *
 * @returns How many bytes were copied.
 */
export function copyFileData(
  from: number,
  to: number,
  options: { readonly sizeBytes: number; readonly checkAborted?: () => void },
): number {
  if (options.sizeBytes > pieceBytes / 64 && tryReflink(from, to)) return options.sizeBytes;
  let copied = 0;
  for (;;) {
    options.checkAborted?.();
    let count: number;
    try {
      count = copyFileRange.call(undefined, from, null, to, null, pieceBytes, 0);
    } catch (error) {
      if (copied > 0 || !hasErrno(error, "ENOSYS", "EXDEV", "EPERM", "EIO", "EOPNOTSUPP", "ENOTSUP", "EINVAL"))
        throw error;
      return copyThroughMemory(from, to, options.checkAborted);
    }
    if (count === 0) {
      // Files of /proc and some network file systems answer 0 though they have content.
      return copied === 0 && options.sizeBytes > 0 ? copyThroughMemory(from, to, options.checkAborted) : copied;
    }
    copied += count;
    // Small files need no further call only to hear that nothing is left.
    if (copied === options.sizeBytes) return copied;
  }
}

function tryReflink(from: number, to: number): boolean {
  try {
    ioctl.call(undefined, to, FICLONE, from);
    return true;
  } catch (error) {
    if (hasErrno(error, "EOPNOTSUPP", "ENOTSUP", "EXDEV", "EINVAL", "ENOTTY", "ENOSYS", "EPERM", "ETXTBSY", "EISDIR")) {
      return false;
    }
    throw error;
  }
}

function copyThroughMemory(from: number, to: number, checkAborted: (() => void) | undefined): number {
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  let copied = 0;
  ftruncateSync(to, 0);
  for (;;) {
    checkAborted?.();
    const count = readSync(from, buffer, 0, buffer.length, copied);
    if (count === 0) return copied;
    for (let written = 0; written < count; ) {
      written += writeSync(to, buffer, written, count - written, copied + written);
    }
    copied += count;
  }
}
