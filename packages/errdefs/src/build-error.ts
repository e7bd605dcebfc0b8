/** The canonical gRPC codes this project raises, spelled as Connect spells them. */
export type Code =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** Options of {@linkcode BuildError}. */
export interface BuildErrorOptions extends ErrorOptions {
  /** What the user can do about it, printed on its own line. */
  readonly hint?: string;
}

/** A failure that a caller can act on by its {@linkcode BuildError.code | code}. */
export class BuildError extends Error {
  override readonly name: string = "BuildError";
  readonly code: Code;
  readonly hint: string | undefined;

  constructor(code: Code, message: string, options: BuildErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.hint = options.hint;
  }

  /**
   * Classifies any thrown value, and never loses it: the original stays reachable as `cause`.
   *
   * When a body and its disposal both fail, JavaScript throws a `SuppressedError` whose `error` is the
   * *disposal* failure. The user needs the body's failure, so that one is classified.
   */
  static from(thrown: unknown): BuildError {
    if (thrown instanceof BuildError) return thrown;
    let primary: unknown = thrown;
    while (primary instanceof SuppressedError) primary = primary.suppressed;
    if (primary instanceof BuildError) {
      return new BuildError(primary.code, primary.message, {
        cause: thrown,
        ...(primary.hint !== undefined && { hint: primary.hint }),
      });
    }
    if (!(primary instanceof Error)) return new BuildError("unknown", String(primary), { cause: thrown });
    const hint = isOutOfFiles(primary) ? "raise the limit of open files of buildkitd (ulimit -n)" : undefined;
    return new BuildError(codeOf(primary), primary.message, { cause: thrown, ...(hint !== undefined && { hint }) });
  }
}

/** The code of a failure that is not ours: of the runtime, the kernel or SQLite. */
function codeOf(error: Error): Code {
  if (error.name === "TimeoutError") return "deadline_exceeded";
  if (error.name === "AbortError") return "canceled";
  const { code, errcode } = error as Error & { readonly code?: unknown; readonly errcode?: unknown };
  const isFull = code === "ENOSPC" || code === "EDQUOT" || errcode === 13;
  return isFull || isOutOfFiles(error) ? "resource_exhausted" : "unknown";
}

/**
 * Whether the process, or the machine, may open no more files. A thread that cannot start, and one that cannot read what it
 * imports, say it in their text only; others' texts may say it of other machines.
 */
function isOutOfFiles(error: Error): boolean {
  const { code, message } = error as Error & { readonly code?: unknown };
  if (code === "EMFILE" || code === "ENFILE") return true;
  if (code === "ERR_WORKER_INIT_FAILED") return /\bE[MN]FILE$/.test(message);
  return /^Cannot read package config .*: too many open files\.$/s.test(message);
}
