import { BuildError } from "@buildkit-ts/errdefs";

/** Where a name is looked up: the registry and then this machine, the registry only, or the reverse. */
export type ResolveMode = "default" | "pull" | "local";

/** @throws {BuildError} `invalid_argument`, `invalid resolvemode: …`. */
export function parseResolveMode(text: string): ResolveMode {
  if (text === "" || text === "default") return "default";
  if (text === "pull" || text === "local") return text;
  throw new BuildError("invalid_argument", `invalid resolvemode: ${text.slice(0, 100)}`);
}
