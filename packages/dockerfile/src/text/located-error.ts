import { BuildError, type Code, type SourceRange } from "@buildkit-ts/errdefs";

/** A failure with the places in the Dockerfile that it concerns, not yet bound to the file; innermost place first. */
export class LocatedError extends BuildError {
  override readonly name = "LocatedError";
  readonly locations: readonly (readonly SourceRange[])[];

  constructor(
    message: string,
    options: { code: Code; locations: readonly (readonly SourceRange[])[]; cause: unknown },
  ) {
    super(options.code, message, { cause: options.cause });
    this.locations = options.locations;
  }
}

/** Adds a place to a failure, keeping its text. */
export function locate(error: unknown, location: readonly SourceRange[]): LocatedError {
  const inner = BuildError.from(error);
  return new LocatedError(inner.message, {
    code: inner.code,
    locations: [...locationsOf(inner), location],
    cause: error,
  });
}

/** Like {@linkcode locate}, dropping the places it had: for text that is not part of the file, such as a trigger. */
export function relocate(error: unknown, location: readonly SourceRange[]): LocatedError {
  const inner = BuildError.from(error);
  return new LocatedError(inner.message, { code: inner.code, locations: [location], cause: error });
}

/** `prefix: message`, with code and places kept. */
export function prefixError(prefix: string, error: unknown): BuildError {
  return rewordError(error, (message) => `${prefix}: ${message}`);
}

/** The failure with another text. */
export function rewordError(error: unknown, reword: (message: string) => string): BuildError {
  const inner = BuildError.from(error);
  const locations = locationsOf(inner);
  const message = reword(inner.message);
  return locations.length === 0
    ? new BuildError(inner.code, message, { cause: error })
    : new LocatedError(message, { code: inner.code, locations, cause: error });
}

/** The places of the failure or of what caused it. */
export function locationsOf(error: unknown): readonly (readonly SourceRange[])[] {
  for (let e: unknown = error; e instanceof Error; e = e.cause) if (e instanceof LocatedError) return e.locations;
  return [];
}

/** A failure of what the user wrote. */
export function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}

/** One range per line, both ends inclusive, as BuildKit counts: columns are always 0. */
export function lineRanges(start: number, end: number = start): SourceRange[] {
  const last = Math.max(start, end);
  return Array.from({ length: last - start + 1 }, (_, i) => ({
    start: { line: start + i, character: 0 },
    end: { line: start + i, character: 0 },
  }));
}
