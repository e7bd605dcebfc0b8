import { randomUUID } from "node:crypto";
import { renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Clock, type ErrorReporter, RetryLater, removalFailed, type WorkerCalls } from "@buildkit-ts/async";
import type { TreeMeter } from "./tree/tree-meter.ts";
import type { TreeRequest, TreeResult } from "./tree/tree-request.ts";

/** Begins the names of directories that an earlier process left. */
const leftoverPrefix = "leftover-";
// Goes on when the caller has lost interest: half-removed directories help nobody.
const never = new AbortController().signal;

/**
 * Directories of snapshots that are gone. Those that cannot be removed, from a disk that fails or where somebody has mounted
 * something in them, are tried again until they can, and are known to use the disk meanwhile.
 */
export class RemovedDirectories implements AsyncDisposable {
  readonly #meter: TreeMeter;
  readonly #reporter: ErrorReporter;
  readonly #removals: RetryLater<string>;
  /** Of those that are left: what was known of them, or measured since they were tried last. */
  readonly #bytes = new Map<string, { readonly sizeBytes: number; readonly isMeasured: boolean }>();
  readonly #background = new Set<Promise<void>>();

  constructor(
    trees: WorkerCalls<TreeRequest, TreeResult>,
    options: { readonly meter: TreeMeter; readonly reporter: ErrorReporter; readonly clock: Clock },
  ) {
    this.#meter = options.meter;
    this.#reporter = options.reporter;
    this.#removals = new RetryLater({
      clock: options.clock,
      attempt: async (path) => {
        const { sizeBytes = 0 } = this.#bytes.get(path) ?? {};
        this.#bytes.set(path, { sizeBytes, isMeasured: false });
        await trees.call({ verb: "remove", path }, { signal: never });
        this.#bytes.delete(path);
      },
      onFirstFailure: (error, path) => this.#report(error, path),
    });
  }

  #report(cause: unknown, path: string): void {
    const error = removalFailed(`Cannot remove snapshot directory "${path}"`, cause);
    this.#reporter.report(error, "remove snapshot");
  }

  /** Never throws. @param knownBytes What it used, if that is known: a disk that fails may not let it be measured any more. */
  async remove(path: string, knownBytes = 0): Promise<void> {
    this.#bytes.set(path, { sizeBytes: knownBytes, isMeasured: false });
    await this.#removals.run(path);
  }

  /** In the background, as a daemon should listen soon: what an earlier process has left. */
  removeLeftover(path: string): void {
    let place = path;
    if (!basename(path).startsWith(leftoverPrefix)) {
      // At once under another name: a database that lost its last transactions gives their numbers once more.
      place = join(dirname(path), `${leftoverPrefix}${randomUUID()}`);
      try {
        renameSync(path, place);
      } catch (error) {
        this.#report(error, path);
        return;
      }
    }
    const running = this.remove(place).finally(() => this.#background.delete(running));
    this.#background.add(running);
  }

  /** Bytes of those that still cannot be removed. */
  async measure(options: { readonly signal: AbortSignal }): Promise<number> {
    await this.#removals.retry();
    const sizes = await Promise.all([...this.#removals.left].map(async (path) => await this.#measure(path, options)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async #measure(path: string, options: { readonly signal: AbortSignal }): Promise<number> {
    const known = this.#bytes.get(path);
    if (known === undefined || known.isMeasured) return known?.sizeBytes ?? 0;
    try {
      const { sizeBytes } = await this.#meter.measure(path, options);
      if (this.#bytes.get(path) === known) this.#bytes.set(path, { sizeBytes, isMeasured: true });
      return sizeBytes;
    } catch {
      options.signal.throwIfAborted();
      // Neither removed nor read: it was told when it was not removed.
      return known.sizeBytes;
    }
  }

  /** Waits for what is being removed. What cannot be is found by the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
    await this.#removals[Symbol.asyncDispose]();
  }
}
