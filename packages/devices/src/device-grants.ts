import { BuildError } from "@buildkit-ts/errdefs";
import type { DeviceRegistry, DeviceRequest } from "./device-registry.ts";

const entitlement = "device";

/** Whether an entitlement's text is about devices: `device`, or `device=NAME[,alias=OTHER]`. */
export function isDeviceEntitlement(text: string): boolean {
  return text === entitlement || text.startsWith(`${entitlement}=`);
}

/** The devices that a build may use, as its entitlements say. */
export class DeviceGrants {
  readonly #all: boolean;
  /** What the build calls a device, and its real name. */
  readonly #aliases = new Map<string, string>();
  readonly #names: string[] = [];

  /** @throws {BuildError} `invalid_argument`, for a text that means nothing. */
  constructor(entitlements: Iterable<string>) {
    const texts = [...entitlements].filter(isDeviceEntitlement);
    this.#all = texts.includes(entitlement) || texts.includes(`${entitlement}=`);
    for (const text of texts) this.#add(text.slice(entitlement.length + 1));
  }

  #add(config: string): void {
    const [name = "", ...fields] = config.split(",");
    if (name === "") return;
    let alias: string | undefined;
    for (const field of fields) {
      const [key, value] = field.split("=", 2);
      if (value === undefined)
        throw new BuildError("invalid_argument", `invalid device config ${JSON.stringify(field)}`);
      if (key !== "alias")
        throw new BuildError("invalid_argument", `unknown device config key ${JSON.stringify(key ?? "")}`);
      alias = value;
    }
    if (alias === undefined) this.#names.push(name);
    else this.#aliases.set(alias, name);
  }

  /**
   * What a step gets of what it asks for: real names in place of aliases, and each device that the rest means.
   *
   * @throws {BuildError} `permission_denied`, naming what the build was not granted; `not_found`, for what is not there.
   */
  allow(requests: readonly DeviceRequest[], registry: DeviceRegistry): DeviceRequest[] {
    if (this.#all) return [...requests];
    const aliased = requests.flatMap(({ name, optional }) => {
      const real = this.#aliases.get(name);
      return real === undefined ? [] : [{ name: real, optional }];
    });
    const devices = registry.find(requests.filter(({ name }) => !this.#aliases.has(name)));
    const granted = new Set(
      registry.find(this.#names.map((name) => ({ name, optional: true }))).map((device) => device.name),
    );
    const forbidden = devices.filter(({ name, autoAllow }) => !autoAllow && !granted.has(name)).map(({ name }) => name);
    if (forbidden.length > 0) {
      const [what, verb] = forbidden.length === 1 ? ["device", "is"] : ["devices", "are"];
      throw new BuildError(
        "permission_denied",
        `${what} ${forbidden.join(", ")} ${verb} requested by the build but not allowed`,
      );
    }
    return [...aliased, ...devices.map(({ name }) => ({ name, optional: false }))];
  }
}
