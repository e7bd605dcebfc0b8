import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { tryLock } from "@buildkit-ts/sys";

/**
 * Makes this process the only daemon on a root directory, until disposed. The kernel releases it when the process dies.
 *
 * @throws {BuildError} `failed_precondition`, while another daemon holds it.
 */
export function lockRoot(root: string): Disposable {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const fd = openSync(join(root, "buildkitd.lock"), "a+", 0o600);
  if (!tryLock(fd, "exclusive")) {
    closeSync(fd);
    throw new BuildError(
      "failed_precondition",
      `could not lock ${join(root, "buildkitd.lock")}, another instance running?`,
      {
        hint: "stop the other daemon, or give this one another --root",
      },
    );
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}
