import { BuildError } from "@buildkit-ts/errdefs";

/** Characters that an expansion may have. Linux gives a program at most an eighth of it as one variable. */
const maxExpandedLength = 1 << 20;

/**
 * Stops an expansion that doubles itself from line to line (`ENV A=$A$A`) before it takes all memory.
 *
 * @throws {BuildError} `invalid_argument`
 */
export function checkExpandedLength(length: number): void {
  if (length > maxExpandedLength)
    throw new BuildError("invalid_argument", `the expanded text has more than ${maxExpandedLength} characters`);
}
