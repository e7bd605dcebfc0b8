import { BuildError } from "@buildkit-ts/errdefs";

/** A failure of the archive itself. */
export function malformed(why: string): BuildError {
  return new BuildError("invalid_argument", `Cannot read tar: ${why}`);
}
