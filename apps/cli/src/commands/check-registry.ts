import type { CheckRegistryResponse, RegistryServer } from "@buildkit-ts/api/buildkitts/registrycheck";
import { BuildError } from "@buildkit-ts/errdefs";
import { DockerConfig, provideRegistryAuth } from "@buildkit-ts/session/serving";
import type { CommandContext } from "../command.ts";
import { openClient } from "../open-client.ts";
import { requiredArgument } from "./required-argument.ts";

/** Shows how the daemon reaches a registry, and why it does not. @throws {BuildError} `unavailable`, if it does not. */
export async function checkRegistry(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const host = requiredArgument(args, "host");
  await using client = await openClient(context);
  const config = new DockerConfig();
  const attachables = [provideRegistryAuth({ config })];
  const response = await client.checkRegistry(host, { signal, attachables });
  const auth = await config.authFor(host === "docker.io" ? "registry-1.docker.io" : host, { signal });
  const user = auth.username || (auth.identityToken === "" ? "" : "an identity token");
  const credentials = `Credentials: ${user === "" ? "none" : user} (from ${config.directory}/config.json)`;
  process.stdout.write(`${[...describe(response), credentials].join("\n")}\n`);
  const registry = response.servers.at(-1);
  if (registry !== undefined && !isReached(registry))
    throw new BuildError("unavailable", `Cannot use registry "${host}": ${registry.url} cannot be read`);
}

function describe({ configPath, servers }: CheckRegistryResponse): string[] {
  const source = configPath === "" ? "none (the daemon's defaults apply)" : configPath;
  return [`Configuration: ${source}`, ...servers.flatMap((server, index) => [...describeServer(server, index), ""])];
}

function describeServer(server: RegistryServer, index: number): string[] {
  const { url, isMirror, settings, steps } = server;
  return [
    `${index + 1}. ${url} (${isMirror ? "mirror, read first" : "the registry"}): ${settings.join("; ")}`,
    ...steps.flatMap(({ what, ok, detail, hint }) => [
      `   ${ok ? "ok  " : "FAIL"} ${what}: ${detail}`,
      ...(hint === "" ? [] : [`        ${hint}`]),
    ]),
  ];
}

/** TLS may fail where plain HTTP is allowed: the last step tells. */
function isReached({ steps }: RegistryServer): boolean {
  return steps.at(-1)?.ok === true;
}
