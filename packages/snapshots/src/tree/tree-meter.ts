import { setImmediate as nextTurn } from "node:timers/promises";
import { abortable, type WorkerCalls } from "@buildkit-ts/async";
import type { SnapshotUsage } from "../snapshotter.ts";
import type { TreeRequest, TreeResult } from "./tree-request.ts";

/** Few enough that one large tree does not keep many others from another thread. */
const treesPerCall = 32;

/** Trees that are measured by one call. */
interface Batch {
  readonly paths: string[];
  readonly measured: Promise<TreeResult>;
  readonly controller: AbortController;
  waiters: number;
}

/**
 * Measures trees in worker threads. Those that are asked for at the same time share a call: to look at a small tree takes less
 * than to ask a thread for it, and while a build makes thousands of them, all are looked at.
 */
export class TreeMeter {
  readonly #calls: WorkerCalls<TreeRequest, TreeResult>;
  /** Takes in more until the next turn of the event loop. */
  #open: Batch | undefined;

  constructor(calls: WorkerCalls<TreeRequest, TreeResult>) {
    this.#calls = calls;
  }

  async measure(path: string, { signal }: { readonly signal: AbortSignal }): Promise<SnapshotUsage> {
    signal.throwIfAborted();
    const batch = this.#batch();
    const index = batch.paths.push(path) - 1;
    batch.waiters += 1;
    try {
      return usageOf(path, (await abortable(batch.measured, signal))?.[index]);
    } catch (error) {
      signal.throwIfAborted();
      if (batch.paths.length === 1) throw error;
      // One that cannot be read fails for those who asked for it.
      return usageOf(path, (await this.#calls.call({ verb: "measure", paths: [path] }, { signal }))?.[0]);
    } finally {
      batch.waiters -= 1;
      if (batch.waiters === 0 && signal.aborted) await this.#stop(batch, signal.reason);
    }
  }

  /** The work has ended when this settles. */
  async #stop(batch: Batch, reason: unknown): Promise<void> {
    if (this.#open === batch) this.#open = undefined;
    batch.controller.abort(reason);
    await batch.measured.catch(() => undefined);
  }

  #batch(): Batch {
    if (this.#open !== undefined && this.#open.paths.length < treesPerCall) return this.#open;
    const [paths, controller]: [string[], AbortController] = [[], new AbortController()];
    this.#open = { paths, controller, waiters: 0, measured: this.#measure(paths, controller.signal) };
    // Those who wait are told; when none is left, nobody is.
    this.#open.measured.catch(() => undefined);
    return this.#open;
  }

  async #measure(paths: string[], signal: AbortSignal): Promise<TreeResult> {
    await nextTurn();
    if (this.#open?.paths === paths) this.#open = undefined;
    return await this.#calls.call({ verb: "measure", paths }, { signal });
  }
}

function usageOf(path: string, usage: SnapshotUsage | undefined): SnapshotUsage {
  if (usage === undefined) throw new TypeError(`"${path}" was not measured`);
  return usage;
}
