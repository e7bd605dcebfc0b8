import { type FilePath, NativeCall, pathArgument } from "./native-call.ts";
import { hasErrno, SystemError } from "./system-error.ts";

/** Whose attributes: an open file (not `O_PATH`), or a path, whose last component is not followed. */
export type XattrTarget = number | FilePath;

const pathSignatures = {
  get: "int64_t lgetxattr(const char *, const char *, void *, size_t)",
  set: "int lsetxattr(const char *, const char *, const void *, size_t, int)",
  list: "int64_t llistxattr(const char *, void *, size_t)",
  remove: "int lremovexattr(const char *, const char *)",
};
const byPath = {
  get: new NativeCall("lgetxattr", pathSignatures.get),
  set: new NativeCall("lsetxattr", pathSignatures.set),
  list: new NativeCall("llistxattr", pathSignatures.list),
  remove: new NativeCall("lremovexattr", pathSignatures.remove),
};
const byFd = {
  get: new NativeCall("fgetxattr", "int64_t fgetxattr(int, const char *, void *, size_t)"),
  set: new NativeCall("fsetxattr", "int fsetxattr(int, const char *, const void *, size_t, int)"),
  list: new NativeCall("flistxattr", "int64_t flistxattr(int, void *, size_t)"),
  remove: new NativeCall("fremovexattr", "int fremovexattr(int, const char *)"),
};
// The kernel allows no list and no value larger than this.
const ENODATA = 61;
const EOPNOTSUPP = 95;
const XATTR_MAX_BYTES = 65536;
const scratch = Buffer.allocUnsafe(XATTR_MAX_BYTES);

/** Names of all attributes that the caller may see; none where the file system has none. */
export function listXattrs(target: XattrTarget): string[] {
  const length = tryInvoke(target, "list", [scratch, scratch.length]);
  if (length === -EOPNOTSUPP || length === 0) return [];
  if (length < 0) throw failure(target, "list", -length);
  return scratch.toString("utf8", 0, length - 1).split("\0");
}

/** Undefined where there is no such attribute. */
export function findXattr(target: XattrTarget, name: string): Buffer | undefined {
  const length = tryInvoke(target, "get", [pathArgument(name), scratch, scratch.length]);
  if (length >= 0) return Buffer.from(scratch.subarray(0, length));
  if (length === -ENODATA || length === -EOPNOTSUPP) return undefined;
  throw failure(target, "get", -length);
}

export function setXattr(target: XattrTarget, name: string, value: Uint8Array): void {
  if (value.length > XATTR_MAX_BYTES) throw new SystemError(7, "setxattr", name);
  invoke(target, "set", [pathArgument(name), value, value.length, 0]);
}

/** Removing one that is not there does nothing. */
export function removeXattr(target: XattrTarget, name: string): void {
  try {
    invoke(target, "remove", [pathArgument(name)]);
  } catch (error) {
    if (!hasErrno(error, "ENODATA")) throw error;
  }
}

type Verb = keyof typeof byFd;

function invoke(target: XattrTarget, verb: Verb, args: readonly unknown[]): void {
  const result = tryInvoke(target, verb, args);
  if (result < 0) throw failure(target, verb, -result);
}

function tryInvoke(target: XattrTarget, verb: Verb, args: readonly unknown[]): number {
  return typeof target === "number"
    ? byFd[verb].tryCall(target, ...args)
    : byPath[verb].tryCall(pathArgument(target), ...args);
}

function failure(target: XattrTarget, verb: Verb, errno: number): SystemError {
  return typeof target === "number" ? byFd[verb].failure(undefined, errno) : byPath[verb].failure(target, errno);
}

/** A path for a name in an open directory, for the calls that have no `*at` form. */
export function pathOfAt(at: { readonly fd: number; readonly path: FilePath }): FilePath {
  return at.fd === AT_FDCWD ? at.path : joinPath(`/proc/self/fd/${at.fd}`, at.path);
}

/** Two parts of a path with a slash between them. An empty first part adds nothing. */
export function joinPath(directory: FilePath, name: FilePath): FilePath {
  if (directory.length === 0) return name;
  if (typeof directory === "string" && typeof name === "string") return `${directory}/${name}`;
  return Buffer.concat([Buffer.from(directory as string), Buffer.from("/"), Buffer.from(name as string)]);
}

const AT_FDCWD = -100;
