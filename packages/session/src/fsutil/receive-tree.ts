import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import type { DivertedData } from "../wire/data-tap.ts";
import { BatchQueue } from "./batch-queue.ts";
import { PacketWriter } from "./packet.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";
import { receiverThread, type TransferProgress } from "./receiver-thread.ts";

/** How a transfer is connected with its surroundings. */
export interface TransferOptions {
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Has the stream's data given to `onData`; without, or where it cannot, they are read from the stream. */
  readonly divert?: ((onData: (data: Buffer) => void) => DivertedData | undefined) | undefined;
}

/**
 * Receives a tree on a gRPC stream, whose headers were exchanged.
 *
 * Resolves when both sides have said that all is there; the stream itself is left open for the caller to finish.
 */
export async function receiveTree(
  stream: ClientHttp2Stream | ServerHttp2Stream,
  options: ReceiveOptions & TransferOptions & { readonly signal: AbortSignal },
): Promise<ReceiveResult> {
  const { onProgress, divert, signal, ...receiveOptions } = options;
  signal.throwIfAborted();
  const transfer = new Transfer(stream, { onProgress, divert });
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
  readonly #options: TransferOptions;
  readonly #outcome = Promise.withResolvers<ReceiveResult>();
  readonly #queue: BatchQueue;
  #id = 0;
  #diverted: DivertedData | undefined;
  #settled = false;
  #lost: BuildError | undefined;

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream, options: TransferOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#queue = new BatchQueue({
      handOver: (buffer, length) => receiverThread.push(this.#id, { buffer, length }),
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
    });
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
    const onData = (chunk: Buffer): void => {
      if (!this.#settled) this.#queue.push(chunk);
    };
    using diverted = this.#options.divert?.(onData);
    this.#diverted = diverted;
    const onEnd = (): void => {
      if (!this.#settled) this.#queue.flush();
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
    if (this.#queue.isIdle) this.fail(lost);
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

  #onTaken({ buffer, taken, received, send }: TransferProgress): void {
    if (send !== undefined && !this.#stream.destroyed) this.#stream.write(send);
    this.#queue.taken(buffer, taken);
    this.#diverted?.taken(taken);
    this.#options.onProgress?.(received);
    if (this.#lost !== undefined && this.#queue.isIdle) {
      const lost = this.#lost;
      // If this message completes the transfer, that is told right after it.
      queueMicrotask(() => this.fail(lost));
    }
  }
}
