import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { BuildError } from "@buildkit-ts/errdefs";

const program = "fuse-overlayfs";
const mountTimeoutMs = 30_000;

/**
 * Mounts layers by fuse-overlayfs, the overlay file system of user space: for machines whose kernel or file system has none.
 * Its process ends when what it serves is unmounted.
 *
 * @param target A path that leads to the mount point while this runs.
 * @throws {BuildError} `failed_precondition` with what the program said.
 */
export async function mountFuseOverlay(options: readonly string[], target: string): Promise<void> {
  try {
    // Devices of an image work in a container only if the runtime lets them: that is not for this mount to decide.
    await promisify(execFile)(program, ["-o", [...options, "dev"].join(","), target], { timeout: mountTimeoutMs });
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw new BuildError(
      "failed_precondition",
      `Cannot mount layers with ${program}: ${isMissing ? "it is not installed" : said || String(error)}`,
      { cause: error },
    );
  }
}
