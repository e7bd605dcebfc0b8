import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";

/** Parameters that the daemon itself states. */
const builtin = ["buildConfig", "builderPlatform", "platform"];

/**
 * What the daemon's administrator wants to be in every provenance: the members of all `*.json` files of a directory, later
 * names over earlier ones. No directory is no members.
 *
 * @throws {BuildError} `invalid_argument`, for a file that is no JSON object or states what only the daemon may.
 */
export function readProvenanceEnvironment(directory: string): Readonly<Record<string, unknown>> {
  const environment: Record<string, unknown> = {};
  for (const name of jsonFiles(directory)) {
    const members = readObject(join(directory, name));
    const taken = builtin.find((key) => Object.hasOwn(members, key));
    if (taken !== undefined)
      throw new BuildError(
        "invalid_argument",
        `key "${taken}" is builtin and not allowed to be modified in provenance config`,
      );
    Object.assign(environment, members);
  }
  return environment;
}

function jsonFiles(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && entry.name.endsWith(".json"))
      .map((entry) => entry.name)
      .toSorted();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function readObject(path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new BuildError("invalid_argument", `failed to parse ${path}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new BuildError("invalid_argument", `failed to parse ${path}: not an object`);
}
