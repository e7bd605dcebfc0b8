import { getSystemErrorMap } from "node:util";

/**
 * A system call that failed. `code` is the errno's name, such as `ENOENT`, as in the errors of `node:fs`, so that
 * {@linkcode hasErrno} matches both.
 */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  /** The positive number, such as 2. */
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(errno: number, syscall: string, path?: string) {
    const { code, text } = describeErrno(errno);
    super(`${code}: ${text}, ${syscall}${path === undefined ? "" : ` '${path}'`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** Whether a thrown value is a failed system call, of this package or of `node:fs`, with one of these codes. */
export function hasErrno(thrown: unknown, ...codes: readonly string[]): thrown is Error & { readonly code: string } {
  if (!(thrown instanceof Error) || !("code" in thrown)) return false;
  const { code } = thrown;
  return typeof code === "string" && codes.includes(code);
}

/** The kernel's words for an errno in lower case, as Go programs print them: `no such file or directory`. */
export function errnoText(code: string): string {
  return texts[code] ?? numbersByCode().get(code)?.text ?? code;
}

/** The number of an errno's name; undefined for a name that this platform does not know. */
export function errnoNumber(code: string): number | undefined {
  return numbersByCode().get(code)?.errno;
}

// Where libuv words an error in its own way; the rest is worded alike.
const texts: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  EFBIG: "file too large",
  EINTR: "interrupted system call",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "too many levels of symbolic links",
  EMLINK: "too many links",
  ENAMETOOLONG: "file name too long",
  ENODATA: "no data available",
  ENODEV: "no such device",
  ENOMEM: "cannot allocate memory",
  ENOTBLK: "block device required",
  ENOTEMPTY: "directory not empty",
  ENOTSUP: "operation not supported",
  EOPNOTSUPP: "operation not supported",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  ESTALE: "stale file handle",
  ETXTBSY: "text file busy",
  EXDEV: "invalid cross-device link",
};

// Not among libuv's own.
const furtherErrnos: Readonly<Record<number, string>> = {
  15: "ENOTBLK",
  61: "ENODATA",
  95: "EOPNOTSUPP",
  116: "ESTALE",
  122: "EDQUOT",
};

// Node makes a new map of a hundred entries at each call.
let knownErrnos: ReturnType<typeof getSystemErrorMap> | undefined;

function describeErrno(errno: number): { code: string; text: string } {
  knownErrnos ??= getSystemErrorMap();
  const known = knownErrnos.get(-errno);
  const code = furtherErrnos[errno] ?? known?.[0] ?? `E${errno}`;
  return { code, text: texts[code] ?? known?.[1] ?? "unknown error" };
}

let byCode: Map<string, { readonly errno: number; readonly text: string }> | undefined;

function numbersByCode(): Map<string, { readonly errno: number; readonly text: string }> {
  if (byCode === undefined) {
    byCode = new Map();
    for (const [errno, [code, text]] of getSystemErrorMap()) byCode.set(code, { errno: -errno, text });
    for (const [errno, code] of Object.entries(furtherErrnos)) {
      byCode.set(code, { errno: Number(errno), text: texts[code] ?? code });
    }
  }
  return byCode;
}
