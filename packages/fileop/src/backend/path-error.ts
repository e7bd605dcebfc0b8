import { BuildError, type Code } from "@buildkit-ts/errdefs";
import { errnoText, SystemError } from "@buildkit-ts/sys";

const codes: Readonly<Record<string, Code>> = {
  EACCES: "permission_denied",
  EDQUOT: "resource_exhausted",
  EEXIST: "already_exists",
  EMFILE: "resource_exhausted",
  ENOENT: "not_found",
  ENOSPC: "resource_exhausted",
  EPERM: "permission_denied",
};

/** A failed system call in Go's words, which clients match: `lstat /x: no such file or directory`. Other errors stay. */
export function pathError(operation: string, path: string, thrown: unknown): unknown {
  // Those of `node:fs` have the same members.
  if (!(thrown instanceof Error) || !("code" in thrown) || !("syscall" in thrown)) return thrown;
  const code = String(thrown.code);
  return new BuildError(codes[code] ?? "unknown", `${operation} ${path}: ${errnoText(code)}`, { cause: thrown });
}

/** Runs a step and words its failure by {@linkcode pathError}. */
export function withPath<T>(operation: string, path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw pathError(operation, path, error);
  }
}

/** Puts words before the text of a failure, as Go's errors are wrapped. */
export function wrapError(words: string, thrown: unknown): BuildError {
  const error = thrown instanceof SystemError ? pathError(thrown.syscall, thrown.path ?? "", thrown) : thrown;
  const { code, message, hint } = BuildError.from(error);
  return new BuildError(code, `${words}: ${message}`, { cause: thrown, ...(hint !== undefined && { hint }) });
}
