import { UnsupportedFrontendCapError } from "@buildkit-ts/errdefs";

const supported = new Set(
  ["inputs", "subrequests", "contexts", "gitquerystring"].map((name) => `moby.buildkit.frontend.${name}`),
);

/**
 * Checks what a client requires of the frontend.
 *
 * Gives back an error that only counts if no other frontend is called for (`cap+forward`).
 *
 * @throws {UnsupportedFrontendCapError} for a capability without that.
 */
export function checkCapabilities(required: string): UnsupportedFrontendCapError | undefined {
  if (required === "") return undefined;
  let deferred: UnsupportedFrontendCapError | undefined;
  for (const text of required.split(",")) {
    const name = text.split("+", 1)[0] ?? "";
    if (supported.has(name)) continue;
    const error = new UnsupportedFrontendCapError(name);
    if (!text.includes("+forward")) throw error;
    deferred = error;
  }
  return deferred;
}
