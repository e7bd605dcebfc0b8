import type { Code } from "./build-error.ts";

/** By number; 0 is no failure, and counts as unknown where one is told of. */
const codes: readonly Code[] = [
  "unknown",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];

/** The number of a code in gRPC. */
export function codeNumber(code: Code): number {
  return code === "unknown" ? 2 : codes.indexOf(code);
}

/** The code of a number; numbers nobody defined are `unknown`. */
export function codeFromNumber(number: number): Code {
  return codes[number] ?? "unknown";
}

/**
 * The codes that failed builds have on the wire, as with BuildKit. All others go out as `unknown`: Go's clients print any
 * other code's name before the text, and what was wrong with a Dockerfile is not a fault of the request.
 */
const buildCodes: ReadonlySet<Code> = new Set([
  "canceled",
  "deadline_exceeded",
  "resource_exhausted",
  "unimplemented",
  "internal",
]);

/** The code by which a failed build is told of on the wire. */
export function codeOfFailedBuild(code: Code): Code {
  return buildCodes.has(code) ? code : "unknown";
}
