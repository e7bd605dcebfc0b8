import { BuildError, type BuildErrorOptions, type Code } from "./build-error.ts";

/** A position in a source file: zero-based columns, one-based lines, as `pb.Position` counts them. */
export interface SourcePosition {
  readonly line: number;
  readonly character: number;
}

/** A region of a source file, both ends inclusive. */
export interface SourceRange {
  readonly start: SourcePosition;
  readonly end: SourcePosition;
}

/** The file a {@linkcode SourceError} points into, with its whole text so that a client can print the snippet. */
export interface SourceFile {
  readonly filename: string;
  readonly language: string;
  readonly data: Uint8Array;
  /** The graph that the file was read from, as `pb.Definition` in bytes. */
  readonly definition?: Uint8Array;
}

/** A failure that belongs to a place in a source file, shown by clients as a snippet. */
export class SourceError extends BuildError {
  override readonly name = "SourceError";
  readonly source: SourceFile | undefined;
  readonly ranges: readonly SourceRange[];

  constructor(
    message: string,
    options: BuildErrorOptions & {
      readonly code?: Code;
      readonly source?: SourceFile;
      readonly ranges: readonly SourceRange[];
    },
  ) {
    super(options.code ?? "invalid_argument", message, options);
    this.source = options.source;
    this.ranges = options.ranges;
  }
}

/** A failure of one vertex of a build graph; the cause carries the original failure. */
export class VertexError extends BuildError {
  override readonly name = "VertexError";
  /** Digest of the failed vertex. */
  readonly vertex: string;

  constructor(vertex: string, cause: unknown) {
    const inner = BuildError.from(cause);
    super(inner.code, inner.message, { cause, ...(inner.hint !== undefined && { hint: inner.hint }) });
    this.vertex = vertex;
  }
}

/** No build of this id is under way, or came up while it was waited for; the text is the one that clients know. */
export class UnknownJobError extends BuildError {
  override readonly name = "UnknownJobError";

  constructor(id: string, options: ErrorOptions = {}) {
    super("not_found", `no such job ${id}`, options);
  }
}

/** A process that ran and ended with an exit code that was not allowed. */
export class ExitError extends BuildError {
  override readonly name = "ExitError";
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options: BuildErrorOptions = {}) {
    super("unknown", message, options);
    this.exitCode = exitCode;
  }
}

/** A source that a client's policy does not allow, with what the policy says about it. */
export class PolicyDeniedError extends BuildError {
  override readonly name = "PolicyDeniedError";
  /** For the user, each on its own line. */
  readonly denyMessages: readonly string[];

  constructor(message: string, options: BuildErrorOptions & { readonly denyMessages: readonly string[] }) {
    super("permission_denied", message, options);
    this.denyMessages = options.denyMessages;
  }
}
