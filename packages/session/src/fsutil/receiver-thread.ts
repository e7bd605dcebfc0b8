import { OnDemandThread, threadFailed } from "@buildkit-ts/async";
import { BuildError, type Code } from "@buildkit-ts/errdefs";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";
import type { FromReceiver, ToReceiver } from "./receive-protocol.ts";

/** How long the thread outlives its last transfer; starting one takes longer than a small transfer. */
const idleMs = 30_000;

/** What the thread says of one message that it dealt with. */
export type TransferProgress = Pick<
  FromReceiver & { readonly type: "progress" },
  "buffer" | "taken" | "received" | "send" | "expected"
>;

/** What becomes of a transfer. Called on the main thread. */
export interface TransferListener {
  onProgress(progress: TransferProgress): void;
  onDone(result: ReceiveResult): void;
  onFailed(error: BuildError): void;
  /** There is a change and no destination: all waits for {@linkcode ReceiverThread.tellDestination}. */
  onChanged(id: number): void;
  /** Nothing is written any more. */
  onStopped(): void;
}

/** The thread on which all transfers into this process are written. Starts on demand, ends when idle. */
class ReceiverThread {
  readonly #thread = new OnDemandThread<ToReceiver, FromReceiver, TransferListener>({
    url: new URL("./receive.worker.ts", import.meta.url).href,
    idleMs,
    onMessage: (message) => this.#onMessage(message),
    onLost: (transfers, cause) => {
      const failure = threadFailed("Cannot receive files", cause);
      for (const listener of transfers) listener.onFailed(failure);
    },
  });

  /** Begins a transfer; the listener hears no more after done, failed or stopped. */
  start(options: ReceiveOptions, listener: TransferListener): number {
    const id = this.#thread.begin(listener);
    this.#thread.post({ type: "start", id, options });
    return id;
  }

  /** Hands the first bytes of a buffer over, which is moved to the thread and comes back with its answer. */
  push(id: number, bytes: { readonly buffer: ArrayBuffer; readonly length: number }): void {
    this.#thread.post({ type: "data", id, ...bytes }, [bytes.buffer]);
  }

  tellDestination(id: number, destination: string): void {
    this.#thread.post({ type: "destination", id, destination });
  }

  /** Gives a transfer up, which may be in the middle of a write: the listener is told when it is not. */
  stop(id: number): void {
    if (this.#thread.find(id) !== undefined) this.#thread.post({ type: "stop", id });
  }

  #onMessage(message: FromReceiver): void {
    const listener = this.#thread.find(message.id);
    if (listener === undefined) return;
    switch (message.type) {
      case "progress":
        listener.onProgress(message);
        if (message.result === undefined) return;
        this.#thread.end(message.id);
        listener.onDone(message.result);
        return;
      case "changed":
        listener.onChanged(message.id);
        return;
      case "stopped":
        this.#thread.end(message.id);
        listener.onStopped();
        return;
      case "failed":
        this.#thread.end(message.id);
        listener.onFailed(new BuildError(message.code as Code, message.message));
        return;
      default:
        message satisfies never;
    }
  }
}

export const receiverThread: ReceiverThread = new ReceiverThread();
