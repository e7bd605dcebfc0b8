import { basename } from "node:path";
import { getRawAsset, isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

/**
 * Starts a worker thread from `*.worker.ts` beside the caller: `startWorker(new URL("./hash.worker.ts", import.meta.url).href)`.
 *
 * In the single executable there are no files: each worker is bundled into an asset named `workers/<basename>.js`,
 * since a worker started from the executable itself would parse the whole binary.
 */
export function startWorker(url: string, given: WorkerOptions = {}): Worker {
  // Descriptors that our own system calls open are unknown to Node, which would warn at each one that it closes.
  const options: WorkerOptions = { trackUnmanagedFds: false, ...given };
  if (!isSea()) return new Worker(new URL(url), options);
  const name = basename(fileURLToPath(url)).replace(/\.ts$/, ".js");
  return new Worker(Buffer.from(getRawAsset(`workers/${name}`)).toString("utf8"), { ...options, eval: true });
}
