import { BuildError } from "@buildkit-ts/errdefs";
import type { ParsedArguments } from "../arguments/parse-arguments.ts";

/** The first positional argument. @throws {BuildError} `invalid_argument`, if there is none. */
export function requiredArgument(args: ParsedArguments, what: string): string {
  const [first] = args.positional;
  if (first === undefined) throw new BuildError("invalid_argument", `${what} must be specified`);
  return first;
}
