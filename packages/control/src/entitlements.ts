import { DeviceGrants, isDeviceEntitlement } from "@buildkit-ts/devices";
import { BuildError } from "@buildkit-ts/errdefs";

const known: ReadonlySet<string> = new Set(["network.host", "security.insecure", "device"]);

/**
 * What a build may do beyond the sandbox: what it asks for, if the daemon allows that.
 *
 * @throws {BuildError} `permission_denied`, or `invalid_argument` for a name that means nothing.
 */
export function grantEntitlements(asked: readonly string[], allowed: ReadonlySet<string>): ReadonlySet<string> {
  for (const name of asked) {
    // Which of the devices is the build's own business, where the daemon allows any.
    const kind = isDeviceEntitlement(name) ? "device" : name;
    if (!known.has(kind)) throw new BuildError("invalid_argument", `unknown entitlement ${name}`);
    if (!allowed.has(kind)) {
      throw new BuildError(
        "permission_denied",
        `granting entitlement ${name} is not allowed by build daemon configuration`,
      );
    }
  }
  // What cannot be read is an error of the request, not of the step that needs it.
  new DeviceGrants(asked);
  return new Set(asked);
}
