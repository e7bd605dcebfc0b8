import { readSync, writeSync } from "node:fs";
import { copyRegions } from "./copy-regions.ts";
import { NativeCall } from "./native-call.ts";
import { hasErrno } from "./system-error.ts";

const copyFileRange = new NativeCall(
  "copy_file_range",
  "int64_t copy_file_range(int, void *, int, void *, size_t, unsigned int)",
);
const sendfile = new NativeCall("sendfile", "int64_t sendfile(int, int, void *, size_t)");
const ioctl = new NativeCall("ioctl", "int ioctl(int, unsigned long, int)");
const FICLONE = 0x40049409;
// Small enough that an abort between two pieces is soon noticed.
const pieceBytes = 64 * 1024 * 1024;
// Up to here one read and one write are faster than asking for anything better.
const smallBytes = 128 * 1024;
const scratch = Buffer.allocUnsafeSlow(smallBytes);

/** What {@linkcode copyFileData} needs to know. */
export interface CopyFileDataOptions {
  readonly sizeBytes: number;
  /** Less than the size for a file with holes, which its copy keeps then. */
  readonly allocatedBytes?: number;
  readonly checkAborted?: () => void;
}

/**
 * Copies all bytes of one open file into another empty one, both at their beginning: large ones as a reflink where the file
 * system can, and inside the kernel otherwise, so that they never enter this process unless nothing else works.
 *
 * @returns How many bytes were copied.
 */
export function copyFileData(from: number, to: number, options: CopyFileDataOptions): number {
  if (options.sizeBytes > smallBytes) {
    if (tryReflink(from, to)) return options.sizeBytes;
    const hasHoles = (options.allocatedBytes ?? options.sizeBytes) < options.sizeBytes;
    const copy = (sizeBytes: number): number | undefined => copyInKernel(from, to, { ...options, sizeBytes });
    if (hasHoles && copyRegions(from, to, copy)) return options.sizeBytes;
    const copied = copyInKernel(from, to, options);
    if (copied !== undefined) return copied;
  }
  return copyThroughMemory(from, to, options.checkAborted);
}

function tryReflink(from: number, to: number): boolean {
  return ioctl.tryCall(to, FICLONE, from) >= 0;
}

/** Undefined, with nothing copied, where the kernel cannot. */
function copyInKernel(from: number, to: number, { sizeBytes, checkAborted }: CopyFileDataOptions): number | undefined {
  const ways = [
    (length: number) => copyFileRange.call(undefined, from, null, to, null, length, 0),
    // Also between file systems, such as from a disk into an overlay.
    (length: number) => sendfile.call(undefined, to, from, null, length),
  ];
  for (const way of ways) {
    let copied = 0;
    try {
      while (copied < sizeBytes) {
        checkAborted?.();
        const count = way(Math.min(pieceBytes, sizeBytes - copied));
        if (count === 0) break;
        copied += count;
      }
    } catch (error) {
      if (copied > 0 || !hasErrno(error, "ENOSYS", "EXDEV", "EPERM", "EIO", "EOPNOTSUPP", "ENOTSUP", "EINVAL")) {
        throw error;
      }
    }
    // Some network file systems answer 0 though the file has content.
    if (copied > 0) return copied;
  }
  return undefined;
}

function copyThroughMemory(from: number, to: number, checkAborted: (() => void) | undefined): number {
  let copied = 0;
  for (;;) {
    checkAborted?.();
    const count = readSync(from, scratch, 0, scratch.length, copied);
    for (let written = 0; written < count; ) {
      written += writeSync(to, scratch, written, count - written, copied + written);
    }
    copied += count;
    // A file that is shorter than the buffer needs no further call to hear that it has ended.
    if (count < scratch.length) return copied;
  }
}
