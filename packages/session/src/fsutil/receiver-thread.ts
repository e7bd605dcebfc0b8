import type { Worker } from "node:worker_threads";
import { startWorker } from "@buildkit-ts/async";
import { BuildError, type Code } from "@buildkit-ts/errdefs";
import type { ReceiveOptions, ReceiveResult } from "./receive-engine.ts";
import type { FromReceiver, ToReceiver } from "./receive-protocol.ts";

/** How long the thread outlives its last transfer; starting one takes longer than a small transfer. */
const idleMs = 30_000;

/** What becomes of a transfer. Called on the main thread. */
export interface TransferListener {
  onProgress(progress: {
    readonly taken: number;
    readonly received: number;
    readonly send: Uint8Array | undefined;
  }): void;
  onDone(result: ReceiveResult): void;
  onFailed(error: BuildError): void;
}

/** The thread on which all transfers into this process are written. Starts on demand, ends when idle. */
class ReceiverThread {
  readonly #transfers = new Map<number, TransferListener>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #lastId = 0;

  /** Begins a transfer; the listener hears no more after done, failed or {@linkcode ReceiverThread.stop}. */
  start(options: ReceiveOptions, listener: TransferListener): number {
    clearTimeout(this.#idle);
    this.#lastId += 1;
    const id = this.#lastId;
    this.#transfers.set(id, listener);
    this.#worker ??= this.#launch();
    this.#worker.ref();
    this.#post({ type: "start", id, options });
    return id;
  }

  /** Hands bytes over; their buffer is moved to the thread. */
  push(id: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#worker?.postMessage({ type: "data", id, bytes } satisfies ToReceiver, [bytes.buffer]);
  }

  stop(id: number): void {
    if (!this.#transfers.has(id)) return;
    this.#post({ type: "stop", id });
    this.#end(id);
  }

  #post(message: ToReceiver): void {
    this.#worker?.postMessage(message, []);
  }

  #launch(): Worker {
    const worker = startWorker(new URL("./receive.worker.ts", import.meta.url).href, {
      // Descriptors come from calls that Node does not see, and are closed through Node.
      trackUnmanagedFds: false,
    });
    worker.on("message", (message: FromReceiver) => this.#onMessage(message));
    worker.on("error", (error) => {
      if (this.#worker === worker) this.#worker = undefined;
      const failure = new BuildError("internal", "Cannot receive files: the writing thread failed", { cause: error });
      for (const listener of this.#transfers.values()) listener.onFailed(failure);
      this.#transfers.clear();
    });
    return worker;
  }

  #onMessage(message: FromReceiver): void {
    const listener = this.#transfers.get(message.id);
    if (listener === undefined) return;
    switch (message.type) {
      case "progress":
        listener.onProgress(message);
        if (message.result === undefined) return;
        this.#end(message.id);
        listener.onDone(message.result);
        return;
      case "failed":
        this.#end(message.id);
        listener.onFailed(new BuildError(message.code as Code, message.message));
        return;
      default:
        message satisfies never;
    }
  }

  #end(id: number): void {
    this.#transfers.delete(id);
    if (this.#transfers.size > 0) return;
    // The idle thread keeps no process alive.
    this.#worker?.unref();
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = undefined;
      worker?.terminate().catch(() => undefined);
    }, idleMs).unref();
  }
}

export const receiverThread: ReceiverThread = new ReceiverThread();
