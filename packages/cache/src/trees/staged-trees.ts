import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, type ErrorReporter, RetryLater, removalFailed } from "@buildkit-ts/async";
import { newId } from "../record/record-registry.ts";
import { removeUnpacked } from "./remove-unpacked.ts";

/** Places where layers are unpacked before their trees are moved to where they belong. */
export class StagedTrees implements AsyncDisposable {
  readonly #directory: string;
  readonly #removals: RetryLater<string>;

  /** @param directory Exists, on the snapshots' file system; emptied at the start. */
  constructor(directory: string, options: { readonly clock: Clock; readonly reporter: ErrorReporter }) {
    this.#directory = directory;
    this.#removals = new RetryLater({
      clock: options.clock,
      attempt: removeUnpacked,
      onFirstFailure: (cause, path) =>
        options.reporter.report(removalFailed(`Cannot remove unpacked layer "${path}"`, cause), "unpack layers"),
    });
  }

  /** Where nothing is. */
  newPath(): string {
    return join(this.#directory, newId());
  }

  /** Removes what is left there, if anything is: again, where that fails. Never throws. */
  async remove(path: string): Promise<void> {
    await this.#removals.run(path);
  }

  /** Bytes of what still cannot be removed. */
  async leftoverBytes(): Promise<number> {
    await this.#removals.retry();
    const sizes = await Promise.all([...this.#removals.left].map(allocatedBytes));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Leaves to the next start what could not be removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#removals[Symbol.asyncDispose]();
  }
}

/** As far as it can be read. */
async function allocatedBytes(path: string): Promise<number> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat === undefined) return 0;
  let bytes = stat.blocks * 512;
  const names = stat.isDirectory() ? await readdir(path).catch(() => []) : [];
  for (const name of names) bytes += await allocatedBytes(join(path, name));
  return bytes;
}
