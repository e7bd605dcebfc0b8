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
