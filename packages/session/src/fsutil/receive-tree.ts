import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import { PacketWriter } from "./packet.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-engine.ts";
import { receiverThread } from "./receiver-thread.ts";

/** Bytes that are handed to the writing thread at once, and how many may be there before the sender has to wait. */
const batchBytes = 512 << 10;
const maxInFlightBytes = 8 << 20;

/**
 * Receives a tree on a gRPC stream, whose headers were exchanged.
 *
 * Resolves when both sides have said that all is there; the stream itself is left open for the caller to finish.
 */
export async function receiveTree(
  stream: ClientHttp2Stream | ServerHttp2Stream,
  options: ReceiveOptions & { readonly onProgress?: (bytes: number) => void; readonly signal: AbortSignal },
): Promise<ReceiveResult> {
  const { onProgress, signal, ...receiveOptions } = options;
  signal.throwIfAborted();
  const transfer = new Transfer(stream, onProgress);
  const onAbort = (): void => transfer.fail(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await transfer.run(receiveOptions);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Moves bytes between the stream and the writing thread. */
class Transfer {
  readonly #stream: ClientHttp2Stream | ServerHttp2Stream;
  readonly #onProgress: ((bytes: number) => void) | undefined;
  readonly #outcome = Promise.withResolvers<ReceiveResult>();
  #id = 0;
  #batch = new Uint8Array(0);
  #filled = 0;
  #flushScheduled = false;
  #inFlight = 0;
  #settled = false;
  #lost: BuildError | undefined;

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream, onProgress: ((bytes: number) => void) | undefined) {
    this.#stream = stream;
    this.#onProgress = onProgress;
  }

  async run(options: ReceiveOptions): Promise<ReceiveResult> {
    const stream = this.#stream;
    this.#id = receiverThread.start(options, {
      onProgress: (progress) => this.#onTaken(progress),
      onDone: (result) => {
        this.#settled = true;
        this.#outcome.resolve(result);
      },
      onFailed: (error) => this.#failBoth(error),
    });
    const onData = (chunk: Buffer): void => this.#push(chunk);
    const onEnd = (): void => {
      this.#flush();
      this.#endedByPeer();
    };
    stream.on("data", onData);
    stream.once("end", onEnd);
    stream.once("close", onEnd);
    try {
      return await this.#outcome.promise;
    } finally {
      stream.off("data", onData);
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      stream.resume();
    }
  }

  fail(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    receiverThread.stop(this.#id);
    this.#outcome.reject(error);
  }

  /** What the sender gave before it went may still complete the transfer; the stream's outcome tells why it went. */
  #endedByPeer(): void {
    if (this.#settled) return;
    const lost = new BuildError("unavailable", "Cannot receive files: the sender ended the stream early");
    if (this.#inFlight === 0) this.fail(lost);
    else this.#lost = lost;
  }

  #failBoth(error: BuildError): void {
    if (this.#settled) return;
    const writer = new PacketWriter();
    writer.error(error.message);
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.write(writer.take());
    this.#settled = true;
    this.#outcome.reject(error);
  }

  #push(chunk: Buffer): void {
    if (this.#settled) return;
    for (let offset = 0; offset < chunk.length; ) {
      if (this.#batch.length === 0) this.#batch = new Uint8Array(batchBytes);
      const part = chunk.subarray(offset, offset + this.#batch.length - this.#filled);
      this.#batch.set(part, this.#filled);
      this.#filled += part.length;
      offset += part.length;
      if (this.#filled === this.#batch.length) this.#flush();
    }
    // What came in one turn of the event loop goes over together.
    if (this.#filled === 0 || this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#filled === 0 || this.#settled) return;
    const full = this.#filled > batchBytes / 2;
    const bytes = full ? this.#batch.subarray(0, this.#filled) : this.#batch.slice(0, this.#filled);
    if (full) this.#batch = new Uint8Array(0);
    this.#filled = 0;
    this.#inFlight += bytes.length;
    receiverThread.push(this.#id, bytes);
    if (this.#inFlight > maxInFlightBytes) this.#stream.pause();
  }

  #onTaken(progress: {
    readonly taken: number;
    readonly received: number;
    readonly send: Uint8Array | undefined;
  }): void {
    this.#inFlight -= progress.taken;
    if (progress.send !== undefined && !this.#stream.destroyed) this.#stream.write(progress.send);
    if (this.#inFlight <= maxInFlightBytes / 2) this.#stream.resume();
    this.#onProgress?.(progress.received);
    if (this.#lost !== undefined && this.#inFlight === 0) {
      const lost = this.#lost;
      // If this message completes the transfer, that is told right after it.
      queueMicrotask(() => this.fail(lost));
    }
  }
}
