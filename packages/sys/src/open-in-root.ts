import { constants } from "node:fs";
import { type FilePath, NativeCall, pathArgument } from "./native-call.ts";
import { hasErrno } from "./system-error.ts";

/** Opens a file only to name it: nothing is read, no device is started. */
export const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;

const openat2 = new NativeCall("openat2", "long syscall(long, int, const char *, void *, size_t)");
const SYS_openat2 = 437;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_IN_ROOT = 0x10n;
const attempts = 64;

/**
 * Opens a path as if `root` were `/`: neither `..` nor symbolic links leave it, whatever others change meanwhile.
 * The descriptor is the caller's to close.
 */
export function openInRoot(root: number, path: FilePath, options: { flags: number; mode?: number }): number {
  const creates = (options.flags & constants.O_CREAT) !== 0 || (options.flags & O_TMPFILE) === O_TMPFILE;
  const how = BigUint64Array.of(
    BigInt(options.flags | O_CLOEXEC),
    creates ? BigInt(options.mode ?? 0o666) : 0n,
    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  );
  // An empty path is the root itself here; the kernel would say ENOENT.
  const argument = path.length === 0 ? "." : pathArgument(path);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return openat2.call(path, SYS_openat2, root, argument, how, how.byteLength);
    } catch (error) {
      // A rename somewhere on the machine during a `..`: the kernel could not be sure and asks to try again.
      if (!hasErrno(error, "EAGAIN") || attempt === attempts) throw error;
    }
  }
}

const O_TMPFILE = 0o20200000;
