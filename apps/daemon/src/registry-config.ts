import type { RegistryConfig } from "@buildkit-ts/registry";
import type { RegistrySetting } from "./config-file.ts";

/** `[registry."host"]` as the registry client takes it. Mirrors may be written as URLs. */
export function registryConfig(registries: ReadonlyMap<string, RegistrySetting>): RegistryConfig {
  return Object.fromEntries(
    [...registries].map(([host, setting]) => [
      host,
      {
        mirrors: setting.mirrors.map((mirror) => mirror.replace(/^https?:\/\//, "")),
        ...(setting.http !== undefined && { http: setting.http }),
        ...(setting.insecure !== undefined && { insecure: setting.insecure }),
        ca: setting.ca,
        keyPairs: setting.keypairs,
        tlsConfigDirs: setting.tlsConfigDirs,
      },
    ]),
  );
}
