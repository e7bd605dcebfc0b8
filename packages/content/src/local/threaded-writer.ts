import { rm } from "node:fs/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import { verifyBlob, type WrittenBlob } from "../blob-hash.ts";
import type { BlobInfo, ContentWriter } from "../content-store.ts";
import { blobThread } from "./blob-thread.ts";
import type { CommitFile } from "./local-writer.ts";

/** Bytes that go to the thread at once, and how many may be on the way. */
const batchBytes = 256 << 10;
const maxInFlightBytes = 4 << 20;

/** Writes a large blob in a thread of its own, which hashes it on the way. */
export class ThreadedWriter implements ContentWriter {
  readonly offset = 0;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #commit: CommitFile;
  readonly #finished = Promise.withResolvers<WrittenBlob>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #id: number;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #inFlight = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #isEnded = false;
  #isCommitted = false;

  constructor(path: string, options: { readonly signal: AbortSignal; readonly commit: CommitFile }) {
    this.#path = path;
    this.#signal = options.signal;
    this.#commit = options.commit;
    // A failure is told by the next call, or by none if the blob is dropped.
    this.#finished.promise.catch(() => undefined);
    this.#id = blobThread.open(path, {
      onTaken: (bytes) => {
        this.#inFlight -= bytes;
        if (this.#inFlight <= maxInFlightBytes) this.#room?.resolve();
      },
      onFinished: (blob) => {
        this.#finished.resolve(blob);
        this.#closed.resolve();
      },
      onDropped: () => this.#closed.resolve(),
      onFailed: (error) => {
        this.#finished.reject(error);
        this.#room?.reject(error);
      },
    });
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#ensureOpen();
    this.#batch.push(chunk);
    this.#batchBytes += chunk.byteLength;
    if (this.#batchBytes < batchBytes) return;
    this.#flush();
    if (this.#inFlight <= maxInFlightBytes) return;
    this.#room = Promise.withResolvers();
    await Promise.race([this.#room.promise, this.#finished.promise]);
  }

  #flush(): void {
    this.#inFlight += this.#batchBytes;
    blobThread.write(this.#id, this.#batch);
    this.#batch = [];
    this.#batchBytes = 0;
  }

  async commit(expected: Partial<WrittenBlob>): Promise<BlobInfo> {
    this.#ensureOpen();
    this.#flush();
    this.#isEnded = true;
    blobThread.finish(this.#id);
    const blob = await this.#finished.promise;
    verifyBlob(blob, expected);
    const info = await this.#commit(this.#path, blob);
    this.#isCommitted = true;
    return info;
  }

  #ensureOpen(): void {
    this.#signal.throwIfAborted();
    if (this.#isEnded)
      throw new BuildError("failed_precondition", `Cannot write blob "${this.#path}": its writer was closed`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    blobThread.drop(this.#id);
    await this.#closed.promise;
    if (!this.#isCommitted) await rm(this.#path, { force: true });
  }
}
