import type { Worker } from "node:worker_threads";
import { BuildError } from "@buildkit-ts/errdefs";
import { startWorker } from "./worker-thread.ts";

/** What an {@linkcode OnDemandThread} is made with. */
export interface OnDemandThreadOptions<From, Task> {
  /** Of the worker's module: `new URL("./x.worker.ts", import.meta.url).href`. */
  readonly url: string;
  /** How long the thread outlives its last task. */
  readonly idleMs: number;
  readonly onMessage: (message: From) => void;
  /** The thread failed, and with it all tasks that it had; they have ended. */
  readonly onLost: (tasks: readonly Task[], cause: unknown) => void;
}

/**
 * One worker thread for tasks that go on side by side and talk with it by messages. It starts with the first of them, ends
 * when there has been none for a while, and keeps no process alive without one.
 */
export class OnDemandThread<To, From, Task> {
  readonly #options: OnDemandThreadOptions<From, Task>;
  readonly #tasks = new Map<number, Task>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #lastId = 0;

  constructor(options: OnDemandThreadOptions<From, Task>) {
    this.#options = options;
  }

  /** @returns The task's id, by which both sides know it. It is the thread's until {@linkcode OnDemandThread.end}. */
  begin(task: Task): number {
    clearTimeout(this.#idle);
    this.#lastId += 1;
    this.#tasks.set(this.#lastId, task);
    this.#worker ??= this.#launch();
    this.#worker.ref();
    return this.#lastId;
  }

  /** The task; undefined once it has ended. */
  find(id: number): Task | undefined {
    return this.#tasks.get(id);
  }

  /** @param moved What becomes the thread's, and is of no use here any more. */
  post(message: To, moved: readonly ArrayBuffer[] = []): void {
    this.#worker?.postMessage(message, [...moved]);
  }

  end(id: number): void {
    this.#tasks.delete(id);
    if (this.#tasks.size > 0) return;
    this.#worker?.unref();
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = undefined;
      worker?.terminate().catch(() => undefined);
    }, this.#options.idleMs).unref();
  }

  #launch(): Worker {
    const worker = startWorker(this.#options.url);
    worker.on("message", this.#options.onMessage);
    worker.on("error", (cause) => {
      if (this.#worker === worker) this.#worker = undefined;
      const lost = [...this.#tasks.values()];
      this.#tasks.clear();
      this.#options.onLost(lost, cause);
    });
    return worker;
  }
}

/**
 * What a task of a lost thread fails with: `resource_exhausted` where that is why the thread ended, `internal` otherwise.
 *
 * @param doing What could not be done: `Cannot write blobs`.
 */
export function threadFailed(doing: string, cause: unknown): BuildError {
  const { code, message, hint } = BuildError.from(cause);
  return new BuildError(code === "resource_exhausted" ? code : "internal", `${doing}: the thread failed: ${message}`, {
    cause,
    ...(hint !== undefined && { hint }),
  });
}
