import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** Names these directories of this machine, so that the daemon can update what it has of them instead of another's. */
export function sharedKeyOf(directories: Readonly<Record<string, string>>): string {
  const paths = Object.entries(directories).map(([name, path]) => `${name}=${path}`);
  return createHash("sha256")
    .update([machineId(), ...paths.sort()].join("\0"))
    .digest("hex");
}

function machineId(): string {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim();
  } catch (error) {
    if (error instanceof Error && "code" in error) return hostname();
    throw error;
  }
}
