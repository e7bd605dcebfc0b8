import { BuildError } from "@buildkit-ts/errdefs";

const known: ReadonlySet<string> = new Set(["network.host", "security.insecure"]);

/**
 * What a build may do beyond the sandbox: what it asks for, if the daemon allows that.
 *
 * @throws {BuildError} `permission_denied`, or `invalid_argument` for a name that means nothing.
 */
export function grantEntitlements(asked: readonly string[], allowed: ReadonlySet<string>): ReadonlySet<string> {
  for (const name of asked) {
    if (name === "device" || name.startsWith("device=")) {
      throw new BuildError("unimplemented", `Cannot grant entitlement "${name}": this daemon offers no devices`);
    }
    if (!known.has(name)) throw new BuildError("invalid_argument", `invalid entitlement: ${name}`);
    if (!allowed.has(name)) {
      throw new BuildError(
        "permission_denied",
        `granting entitlement ${name} is not allowed by build daemon configuration`,
      );
    }
  }
  return new Set(asked);
}
