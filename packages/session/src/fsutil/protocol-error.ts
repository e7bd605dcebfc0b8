import { BuildError } from "@buildkit-ts/errdefs";

/** For a sender that does what the protocol does not allow. */
export function protocolError(what: string): BuildError {
  return new BuildError("invalid_argument", `Cannot receive files: the sender sent ${what}`);
}
