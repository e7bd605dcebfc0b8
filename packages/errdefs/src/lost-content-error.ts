import { BuildError, type BuildErrorOptions, type Code } from "./build-error.ts";

/** Content of a cache record, files or a blob, that cannot be had any more: whatever gave it has to be built again. */
export class LostContentError extends BuildError {
  override readonly name = "LostContentError";
  /** The id of the record whose own content it is. */
  readonly record: string;

  constructor(code: Code, message: string, options: BuildErrorOptions & { readonly record: string }) {
    super(code, message, options);
    this.record = options.record;
  }

  /** The failure that a provider of the record's content met, with its code and text. */
  static of(cause: unknown, record: string): LostContentError {
    if (cause instanceof LostContentError) return cause;
    const { code, message, hint } = BuildError.from(cause);
    return new LostContentError(code, message, { cause, record, ...(hint !== undefined && { hint }) });
  }

  /** The lost content that a failure comes from, if that is what it comes from. */
  static findIn(error: unknown): LostContentError | undefined {
    for (let at = error; at instanceof Error; at = at.cause) {
      if (at instanceof LostContentError) return at;
      if (at instanceof SuppressedError)
        return LostContentError.findIn(at.suppressed) ?? LostContentError.findIn(at.error);
      if (at instanceof AggregateError) {
        for (const inner of at.errors) {
          const found = LostContentError.findIn(inner);
          if (found !== undefined) return found;
        }
        return undefined;
      }
    }
    return undefined;
  }
}
