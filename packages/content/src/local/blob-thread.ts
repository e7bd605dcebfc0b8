import { OnDemandThread, threadFailed } from "@buildkit-ts/async";
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
  readonly #thread = new OnDemandThread<ToBlobThread, FromBlobThread, BlobListener>({
    url: new URL("./write-blob.worker.ts", import.meta.url).href,
    idleMs,
    onMessage: (message) => this.#onMessage(message),
    onLost: (blobs, cause) => {
      const failure = threadFailed("Cannot write blobs", cause);
      for (const listener of blobs) {
        listener.onFailed(failure);
        listener.onDropped();
      }
    },
  });

  /** Creates the file; the listener hears until it was told the end: finished or dropped. */
  open(path: string, listener: BlobListener): number {
    const id = this.#thread.begin(listener);
    this.#thread.post({ type: "open", id, path });
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
    this.#thread.post({ type: "write", id, chunks: own }, [...moved]);
  }

  finish(id: number): void {
    this.#thread.post({ type: "finish", id });
  }

  drop(id: number): void {
    if (this.#thread.find(id) !== undefined) this.#thread.post({ type: "drop", id });
  }

  #onMessage(message: FromBlobThread): void {
    const listener = this.#thread.find(message.id);
    switch (message.type) {
      case "taken":
        listener?.onTaken(message.bytes);
        return;
      case "finished":
        this.#thread.end(message.id);
        listener?.onFinished({ digest: message.digest as Digest, size: message.size });
        return;
      case "dropped":
        this.#thread.end(message.id);
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
}

export const blobThread: BlobThread = new BlobThread();
