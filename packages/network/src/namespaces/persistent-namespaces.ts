import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno, MNT_DETACH, umount } from "@buildkit-ts/sys";

/** Network namespaces that live without a process, each a file in one directory that the namespace is mounted on. */
export class PersistentNamespaces {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Those of this daemon and of earlier ones on the same root. */
  ids(): string[] {
    return readdirSync(this.#directory);
  }

  path(id: string): string {
    return join(this.#directory, id);
  }

  /** @throws {BuildError} `failed_precondition`, where this process may not make namespaces. */
  async create(id: string): Promise<string> {
    const path = this.path(id);
    writeFileSync(path, "", { flag: "wx", mode: 0o600 });
    try {
      // A child process: unshare(2) takes the calling thread along, and Node's threads are not ours to give away.
      await promisify(execFile)("unshare", [`--net=${path}`, "true"]);
    } catch (error) {
      await this.delete(id);
      throw new BuildError(
        "failed_precondition",
        `Cannot make network namespace "${path}": ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    return path;
  }

  /** Idempotent. */
  async delete(id: string): Promise<void> {
    const path = this.path(id);
    try {
      await umount(path, MNT_DETACH);
    } catch (error) {
      // It was not mounted yet, or its machine was restarted since.
      if (!hasErrno(error, "EINVAL", "ENOENT")) throw error;
    }
    try {
      await unlink(path);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
