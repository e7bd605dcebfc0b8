import { closeSync, openSync } from "node:fs";
import type { ErrorReporter } from "@buildkit-ts/async";
import { syncFileSystem } from "@buildkit-ts/sys";
import type { SnapshotTable } from "./snapshot-table.ts";

/** Brings snapshots to the disk some time after they were committed, once for all, and marks those that are on it. */
export class SnapshotSync implements AsyncDisposable {
  readonly #table: SnapshotTable;
  readonly #directory: string;
  readonly #reporter: ErrorReporter;
  readonly #delayMs: number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  /** @param options.directory Is on the file system that holds the snapshots. */
  constructor(
    table: SnapshotTable,
    options: { readonly directory: string; readonly reporter: ErrorReporter; readonly delayMs: number },
  ) {
    this.#table = table;
    this.#directory = options.directory;
    this.#reporter = options.reporter;
    this.#delayMs = options.delayMs;
  }

  /** To be called after each commit. */
  schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const before = this.#running;
      const running = (async () => {
        await before;
        await this.#sync("committed");
      })().catch((error: unknown) => this.#reporter.report(error, "sync snapshots"));
      this.#running = running;
    }, this.#delayMs).unref();
  }

  async #sync(kinds: "committed" | "all"): Promise<void> {
    // Only those that were complete before the sync began are on the disk after it.
    const ids = this.#table.volatileIds(kinds);
    if (ids.length === 0) return;
    const fd = openSync(this.#directory, "r");
    try {
      await syncFileSystem(fd);
    } finally {
      closeSync(fd);
    }
    this.#table.markDurable(ids);
  }

  /** Syncs all that there is, active snapshots too. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    await this.#running;
    await this.#sync("all");
  }
}
