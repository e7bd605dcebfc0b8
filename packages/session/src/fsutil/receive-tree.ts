import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import type { DivertedData } from "../wire/data-tap.ts";
import { BatchQueue } from "./batch-queue.ts";
import type { ExpectedContent } from "./content-weights.ts";
import { PacketWriter } from "./packet-writer.ts";
import { QuickComparison } from "./quick-comparison.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";
import { receiverThread, type TransferListener, type TransferProgress } from "./receiver-thread.ts";

/** How a transfer is connected with its surroundings. */
export interface TransferOptions {
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Told what is going to be sent, unless nothing has changed. */
  readonly onExpected?: ((content: ExpectedContent) => void) | undefined;
  /** Has the stream's data given to `onData`; without, or where it cannot, they are read from the stream. */
  readonly divert?: ((onData: (data: Buffer) => void) => DivertedData | undefined) | undefined;
}

/** How a tree is received here. */
export interface ReceiveTreeOptions extends Omit<ReceiveOptions, "destination">, TransferOptions {
  /**
   * An existing directory, nobody else's meanwhile; a function is asked for it unless nothing has changed, and may give that of
   * the previous tree.
   */
  readonly destination: string | (() => Promise<string>);
  readonly signal: AbortSignal;
}

/**
 * Receives a tree on a gRPC stream, whose headers were exchanged.
 *
 * Resolves when both sides have said that all is there; the stream itself is left open for the caller to finish. When it
 * ends, in whatever way, nothing is written any more.
 */
export async function receiveTree(
  stream: ClientHttp2Stream | ServerHttp2Stream,
  options: ReceiveTreeOptions,
): Promise<ReceiveResult> {
  const { signal, ...rest } = options;
  signal.throwIfAborted();
  await using transfer = new Transfer(stream, rest);
  const onAbort = (): void => transfer.fail(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await transfer.run();
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Moves bytes between the stream and the writing thread, once it is clear that there is something to write. */
class Transfer implements AsyncDisposable {
  readonly #stream: ClientHttp2Stream | ServerHttp2Stream;
  readonly #options: Omit<ReceiveTreeOptions, "signal">;
  readonly #outcome = Promise.withResolvers<ReceiveResult>();
  readonly #queue: BatchQueue;
  readonly #quick: QuickComparison | undefined;
  /** What came before the thread could take it. */
  #waiting: Buffer[] = [];
  /** How many bytes the thread will send that were sent before it took over. */
  #askedBytes = 0;
  #id: number | undefined;
  #beginning: Promise<void> | undefined;
  #diverted: DivertedData | undefined;
  #settled = false;
  #ended = false;
  /** Why the thread was told to stop. */
  #stopped: Error | undefined;
  #lost: BuildError | undefined;

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream, options: Omit<ReceiveTreeOptions, "signal">) {
    this.#stream = stream;
    this.#options = options;
    this.#quick = QuickComparison.for(options);
    this.#queue = new BatchQueue({
      handOver: (buffer, length) => {
        if (this.#id !== undefined) receiverThread.push(this.#id, { buffer, length });
      },
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
    });
  }

  async run(): Promise<ReceiveResult> {
    const stream = this.#stream;
    if (this.#quick === undefined) this.#begin();
    const onData = (chunk: Buffer): void => {
      if (!this.#settled) this.#receive(chunk);
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

  /** Has the thread take the transfer over from its begin. */
  #begin(): void {
    this.#beginning = this.#start().catch((error: unknown) => this.fail(BuildError.from(error)));
  }

  async #start(): Promise<void> {
    const { onProgress: _, onExpected: __, divert: ___, destination, ...options } = this.#options;
    // Where there is a tree before, the thread asks when it has found a change.
    const isAskedLater = typeof destination !== "string" && options.previous !== undefined;
    const directory = isAskedLater ? undefined : await givenBy(destination);
    if (this.#settled) return;
    this.#id = receiverThread.start(
      { ...options, ...(directory !== undefined && { destination: directory }) },
      this.#listener(),
    );
    for (const chunk of this.#waiting) this.#queue.push(chunk);
    this.#waiting = [];
    if (!this.#ended) return;
    this.#queue.flush();
    this.#endedByPeer();
  }

  #listener(): TransferListener {
    return {
      onProgress: (progress) => this.#onTaken(progress),
      onDone: (result) => this.#complete(result),
      onFailed: (error) => this.#failBoth(error),
      onChanged: (id) => void (this.#beginning = this.#tellDestination(id)),
      onStopped: () => this.#outcome.reject(this.#stopped),
    };
  }

  async #tellDestination(id: number): Promise<void> {
    try {
      const directory = await givenBy(this.#options.destination);
      if (!this.#settled) receiverThread.tellDestination(id, directory);
    } catch (error) {
      const failure = BuildError.from(error);
      this.#tellPeer(failure);
      this.fail(failure);
    }
  }

  #complete(result: ReceiveResult): void {
    this.#settled = true;
    if (this.#stopped === undefined) this.#outcome.resolve(result);
    else this.#outcome.reject(this.#stopped);
  }

  #receive(chunk: Buffer): void {
    if (this.#id !== undefined) this.#queue.push(chunk);
    else if (this.#quick === undefined || this.#beginning !== undefined) this.#waiting.push(Buffer.from(chunk));
    else this.#compare(this.#quick, chunk);
  }

  #compare(quick: QuickComparison, chunk: Buffer): void {
    try {
      const step = quick.push(chunk);
      if (step === "differs") {
        this.#waiting.push(...quick.chunks);
        this.#askedBytes = quick.requests.length;
        this.#begin();
      } else {
        if (step === "ask") this.#write(quick.requests);
        if (step === "same") this.#write(quick.confirmation());
        if (step === "done") this.#finishQuickly(quick);
      }
    } catch (error) {
      this.#failBoth(BuildError.from(error));
    }
  }

  #finishQuickly(quick: QuickComparison): void {
    const { result } = quick;
    this.#options.onProgress?.(result.bytes);
    this.#complete(result);
  }

  fail(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#stopped = error;
    // It may be in the middle of a write; when it isn't any more, it says so.
    if (this.#id === undefined) this.#outcome.reject(error);
    else receiverThread.stop(this.#id);
  }

  /** What the sender gave before it went may still complete the transfer; the stream's outcome tells why it went. */
  #endedByPeer(): void {
    this.#ended = true;
    if (this.#settled || (this.#beginning !== undefined && this.#id === undefined)) return;
    const lost = new BuildError("unavailable", "Cannot receive files: the sender ended the stream early");
    if (this.#queue.isIdle) this.fail(lost);
    else this.#lost = lost;
  }

  #failBoth(error: BuildError): void {
    this.#tellPeer(error);
    this.#settled = true;
    // Told to stop, it may have failed before it heard of that.
    this.#outcome.reject(this.#stopped ?? error);
  }

  #tellPeer(error: BuildError): void {
    if (this.#settled || this.#stream.writableEnded) return;
    const writer = new PacketWriter();
    writer.error(error.message);
    this.#write(writer.take());
  }

  /** The thread begins with the list, and asks first for what was asked for already. */
  #writeUnasked(bytes: Uint8Array): void {
    const asked = Math.min(this.#askedBytes, bytes.length);
    this.#askedBytes -= asked;
    if (asked < bytes.length) this.#write(bytes.subarray(asked));
  }

  #write(bytes: Uint8Array): void {
    if (!this.#stream.destroyed) this.#stream.write(bytes);
  }

  #onTaken({ buffer, taken, received, send, expected }: TransferProgress): void {
    if (this.#stopped !== undefined) return;
    if (send !== undefined) this.#writeUnasked(send);
    this.#queue.taken(buffer, taken);
    this.#diverted?.taken(taken);
    this.#options.onProgress?.(received);
    if (expected !== undefined) this.#options.onExpected?.(expected);
    if (this.#lost !== undefined && this.#queue.isIdle) {
      const lost = this.#lost;
      // If this message completes the transfer, that is told right after it.
      queueMicrotask(() => this.fail(lost));
    }
  }

  /** Waits for a destination that is being made, which is its maker's to undo. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#beginning;
  }
}

async function givenBy(destination: string | (() => Promise<string>)): Promise<string> {
  return typeof destination === "string" ? destination : await destination();
}
