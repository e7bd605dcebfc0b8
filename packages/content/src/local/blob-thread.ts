import type { Worker } from "node:worker_threads";
import { startWorker } from "@buildkit-ts/async";
import type { Digest } from "@buildkit-ts/oci";
import type { FromBlobThread, ToBlobThread } from "./blob-thread-protocol.ts";

/** How long the thread outlives its last blob. */
const idleMs = 5000;

/** What becomes of a blob. Called on the main thread. */
export interface BlobListener {
  onTaken(bytes: number): void;
  onFinished(blob: { readonly digest: Digest; readonly size: number }): void;
  onDropped(): void;
  onFailed(error: Error): void;
}

/**
 * The thread that hashes and writes large blobs. Their bytes are moved to it, so that they leave the heap of the main
 * thread at once: what is allocated there by the megabyte has the whole heap collected again and again.
 */
class BlobThread {
  readonly #blobs = new Map<number, BlobListener>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #lastId = 0;

  /** Creates the file; the listener hears until it was told the end: finished or dropped. */
  open(path: string, listener: BlobListener): number {
    clearTimeout(this.#idle);
    this.#lastId += 1;
    const id = this.#lastId;
    this.#blobs.set(id, listener);
    this.#worker ??= this.#launch();
    this.#worker.ref();
    this.#post({ type: "open", id, path });
    return id;
  }

  /** Takes the chunks: those that fill their buffers are moved, and of no use to the caller any more. */
  write(id: number, chunks: readonly Uint8Array[]): void {
    const moved = new Set<ArrayBuffer>();
    const own = chunks.map((chunk) => {
      const { buffer } = chunk;
      const isWhole = buffer instanceof ArrayBuffer && chunk.byteLength === buffer.byteLength && !moved.has(buffer);
      const mine = isWhole ? (chunk as Uint8Array<ArrayBuffer>) : Uint8Array.from(chunk);
      moved.add(mine.buffer);
      return mine;
    });
    this.#post({ type: "write", id, chunks: own }, [...moved]);
  }

  finish(id: number): void {
    this.#post({ type: "finish", id });
  }

  drop(id: number): void {
    if (this.#blobs.has(id)) this.#post({ type: "drop", id });
  }

  #post(message: ToBlobThread, moved: ArrayBuffer[] = []): void {
    this.#worker?.postMessage(message, moved);
  }

  #launch(): Worker {
    const worker = startWorker(new URL("./write-blob.worker.ts", import.meta.url).href);
    worker.on("message", (message: FromBlobThread) => this.#onMessage(message));
    worker.on("error", (cause) => {
      if (this.#worker === worker) this.#worker = undefined;
      const lost = [...this.#blobs.values()];
      this.#blobs.clear();
      for (const listener of lost) {
        listener.onFailed(new Error("The thread that writes blobs failed", { cause }));
        listener.onDropped();
      }
    });
    return worker;
  }

  #onMessage(message: FromBlobThread): void {
    const listener = this.#blobs.get(message.id);
    switch (message.type) {
      case "taken":
        listener?.onTaken(message.bytes);
        return;
      case "finished":
        this.#end(message.id);
        listener?.onFinished({ digest: message.digest as Digest, size: message.size });
        return;
      case "dropped":
        this.#end(message.id);
        listener?.onDropped();
        return;
      case "failed":
        listener?.onFailed(
          Object.assign(new Error(message.message), message.code !== undefined && { code: message.code }),
        );
        return;
      default:
        message satisfies never;
    }
  }

  #end(id: number): void {
    this.#blobs.delete(id);
    if (this.#blobs.size > 0) return;
    // The idle thread keeps no process alive.
    this.#worker?.unref();
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = undefined;
      worker?.terminate().catch(() => undefined);
    }, idleMs).unref();
  }
}

export const blobThread: BlobThread = new BlobThread();
