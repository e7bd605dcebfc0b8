import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { Semaphore, startWorker } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { LayerTask, LayerTaskAnswer } from "./layer-task.ts";

export interface LayerWorkerPoolOptions {
  /** Default: one for each core, at most 4. */
  readonly maxWorkers?: number;
  /** After so long without work a thread ends; default 5 seconds. */
  readonly idleMs?: number;
}

interface IdleWorker {
  readonly worker: Worker;
  readonly timer: NodeJS.Timeout;
}

/** Threads that work on one layer at a time. They start on demand, end when idle, and never keep the process alive. */
export class LayerWorkerPool implements AsyncDisposable {
  readonly #idle: IdleWorker[] = [];
  readonly #slots: Semaphore;
  readonly #idleMs: number;
  readonly #running = new Set<Promise<unknown>>();
  #disposed = false;

  constructor(options: LayerWorkerPoolOptions = {}) {
    this.#slots = new Semaphore(options.maxWorkers ?? Math.min(availableParallelism(), 4));
    this.#idleMs = options.idleMs ?? 5000;
  }

  /** Does not return before the thread has left the files alone, also when aborted. */
  async run(task: LayerTask, options: { readonly signal: AbortSignal }): Promise<LayerTaskAnswer> {
    if (this.#disposed) throw new BuildError("failed_precondition", "Cannot work on layers: the pool was disposed");
    const { signal } = options;
    using _slot = await this.#slots.acquire({ signal });
    const work = this.#runOn(this.#take(), task, signal);
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.allSettled(this.#running);
    await Promise.all(
      this.#idle.splice(0).map(async ({ worker, timer }) => {
        clearTimeout(timer);
        await worker.terminate();
      }),
    );
  }

  #take(): Worker {
    const idle = this.#idle.pop();
    if (idle === undefined) return startWorker(new URL("./layer.worker.ts", import.meta.url).href);
    clearTimeout(idle.timer);
    idle.worker.ref();
    return idle.worker;
  }

  async #runOn(worker: Worker, task: LayerTask, signal: AbortSignal): Promise<LayerTaskAnswer> {
    const abort = new Int32Array(new SharedArrayBuffer(4));
    const onAbort = (): void => void Atomics.store(abort, 0, 1);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      const answer = await answerOf(worker, () => worker.postMessage({ task, abort }));
      this.#release(worker);
      signal.throwIfAborted();
      return answer;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #release(worker: Worker): void {
    worker.unref();
    const timer = setTimeout(() => {
      this.#idle.splice(
        this.#idle.findIndex((idle) => idle.worker === worker),
        1,
      );
      worker.postMessage(undefined);
    }, this.#idleMs).unref();
    this.#idle.push({ worker, timer });
  }
}

async function answerOf(worker: Worker, send: () => void): Promise<LayerTaskAnswer> {
  return await new Promise((resolve, reject) => {
    const settle = (): void => {
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
    };
    const onMessage = (answer: LayerTaskAnswer): void => {
      settle();
      resolve(answer);
    };
    const onError = (error: unknown): void => {
      settle();
      const { code, message, hint } = BuildError.from(error);
      const options = { cause: error, ...(hint !== undefined && { hint }) };
      // Such as a disk that its program cannot be read from.
      reject(new BuildError(code, `Cannot work on layer: its thread failed: ${message}`, options));
    };
    const onExit = (code: number): void => {
      settle();
      reject(new BuildError("internal", `Cannot work on layer: its thread ended with code ${code}`));
    };
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    send();
  });
}
