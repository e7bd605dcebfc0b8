import { create } from "@bufbuild/protobuf";
import { registrycheckpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ServiceImpl } from "@connectrpc/connect";
import type { BuildEngine } from "./engine.ts";
import { unary } from "./wire/handlers.ts";

/** `buildkitts.v1.RegistryCheck`: how this daemon reaches a registry, and why it does not. */
export function registryCheckService(options: {
  readonly engine: BuildEngine;
}): ServiceImpl<typeof registrycheckpb.RegistryCheck> {
  return {
    checkRegistry: unary(async ({ host, session }, { signal }) => {
      if (!/^[A-Za-z0-9.-]+(?::\d{1,5})?$|^\[[0-9a-fA-F:]+\](?::\d{1,5})?$/.test(host))
        throw new BuildError("invalid_argument", `Cannot check registry "${host.slice(0, 200)}": not a host`, {
          hint: "Give it as images name it, such as localhost:5000: without a scheme, and without a path",
        });
      const sessions = (): string[] => (session === "" ? [] : [session]);
      const { configPath = "", servers } = await options.engine.checkRegistry(host, { signal, sessions });
      return create(registrycheckpb.CheckRegistryResponseSchema, {
        configPath,
        servers: servers.map(({ steps, settings, ...server }) => ({
          ...server,
          settings: [...settings],
          steps: [...steps],
        })),
      });
    }),
  };
}
