import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import { FrameReader } from "../wire/grpc-frames.ts";
import { hasContent } from "./file-stat.ts";
import { OpenListedFile } from "./listed-file.ts";
import { decodePacket } from "./packet.ts";
import { PacketStream } from "./packet-stream.ts";
import { PacketWriter } from "./packet-writer.ts";
import type { SendEntry } from "./send-entry.ts";

/** Large enough to be cheap, far below the 4 MiB that Go's clients take. */
const chunkBytes = 256 << 10;
/** So much of the list goes out at once. */
const listBytes = 64 << 10;
/** How long the event loop may be kept. */
const sliceMs = 10;

/** Options of {@linkcode sendTree}. */
export interface SendTreeOptions {
  readonly onProgress?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Sends a tree on a gRPC stream: the sending side of file sync. Resolves when the receiver has all it asked for and the
 * answer to its FIN is written; the stream is left open for the caller to finish.
 */
export async function sendTree(
  stream: ClientHttp2Stream | ServerHttp2Stream,
  entries: Iterable<SendEntry>,
  options: SendTreeOptions,
): Promise<void> {
  options.signal.throwIfAborted();
  const sender = new TreeSender(stream, options);
  const onAbort = (): void => sender.fail(options.signal.reason as Error);
  options.signal.addEventListener("abort", onAbort, { once: true });
  try {
    await sender.run(entries);
  } finally {
    options.signal.removeEventListener("abort", onAbort);
  }
}

class TreeSender {
  readonly #stream: ClientHttp2Stream | ServerHttp2Stream;
  readonly #out: PacketStream;
  readonly #contents = new Map<number, SendEntry>();
  readonly #finished = Promise.withResolvers<void>();
  #requests: Requested[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #sliceStart = performance.now();

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream, options: SendTreeOptions) {
    this.#stream = stream;
    this.#out = new PacketStream(stream, options.onProgress);
  }

  async run(entries: Iterable<SendEntry>): Promise<void> {
    const stream = this.#stream;
    const reader = new FrameReader((message) => this.#onMessage(message));
    const onData = (chunk: Buffer): void => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.fail(error as Error);
      }
    };
    const onEnd = (): void =>
      this.fail(new BuildError("unavailable", "Cannot send files: the receiver ended the stream early"));
    stream.on("data", onData);
    stream.once("end", onEnd);
    stream.once("close", onEnd);
    const work = [this.#sendStats(entries), this.#serveRequests()].map(async (task) => {
      try {
        await task;
      } catch (error) {
        this.#tell(error);
        this.fail(error as Error);
      }
    });
    try {
      await this.#finished.promise;
    } finally {
      this.#ended = true;
      this.#notify();
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      stream.off("data", onData);
      stream.resume();
      await Promise.all(work);
    }
  }

  fail(error: Error): void {
    this.#ended = true;
    this.#finished.reject(error);
    this.#notify();
  }

  #tell(error: unknown): void {
    if (this.#ended || !this.#out.isOpen) return;
    this.#out.writer.error(error instanceof Error ? error.message : String(error));
    this.#out.flushNow();
  }

  #onMessage(message: Buffer): void {
    const packet = decodePacket(message);
    switch (packet.type) {
      case "request":
        this.#take(packet.id);
        return;
      case "fin":
        this.#out.finish();
        this.#finished.resolve();
        return;
      case "error":
        throw new BuildError("unknown", `error from receiver: ${packet.message}`);
      case "stat":
      case "data":
        throw new BuildError("invalid_argument", "Cannot send files: the receiver sent files");
      default:
        packet satisfies never;
    }
  }

  /** Each file can be asked for once, so that a receiver cannot make the queue grow without end. */
  #take(id: number): void {
    const entry = this.#contents.get(id);
    if (entry === undefined) throw new BuildError("invalid_argument", `invalid file id ${id}`);
    this.#contents.delete(id);
    this.#requests.push({ id, entry });
    this.#notify();
  }

  async #sendStats(entries: Iterable<SendEntry>): Promise<void> {
    const writer = new PacketWriter();
    let id = 0;
    for (const entry of entries) {
      const { stat, content } = entry;
      if (this.#ended) return;
      if (content !== undefined && hasContent(stat)) this.#contents.set(id, entry);
      id += 1;
      writer.stat(stat);
      if (writer.length > listBytes) await this.#out.write(writer.take());
      await this.#breathe();
    }
    writer.stat(undefined);
    await this.#out.write(writer.take());
  }

  async #serveRequests(): Promise<void> {
    while (!this.#ended) {
      const requests = this.#requests;
      this.#requests = [];
      for (const request of requests) {
        if (this.#ended) return;
        await this.#sendFile(request);
        await this.#breathe();
      }
      if (this.#out.writer.length > 0) await this.#out.flush();
      if (this.#requests.length > 0 || this.#ended) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async #sendFile({ id, entry }: Requested): Promise<void> {
    const { content = nothing, stat, listed } = entry;
    if (typeof content === "string") {
      const file = OpenListedFile.open(content, { listed, chunkBytes });
      const isSame = file !== undefined && (await this.#sendFromDisk(id, file));
      if (!isSame && !this.#ended) throw changed(stat.path);
    } else await this.#sendBytes(id, content);
    const { writer } = this.#out;
    writer.dataHeader(id, 0);
    if (writer.length > chunkBytes) await this.#out.flush();
  }

  async #sendBytes(id: number, content: Uint8Array): Promise<void> {
    for (let offset = 0; offset < content.length; offset += chunkBytes) {
      await this.#out.sendChunk(id, content.subarray(offset, offset + chunkBytes));
    }
  }

  /** @returns whether the file is still what it was when it was listed, after it was read. */
  async #sendFromDisk(id: number, file: OpenListedFile): Promise<boolean> {
    try {
      const beginning = file.readSmall();
      let length = beginning?.bytes.length ?? 0;
      if (beginning !== undefined && length > 0) {
        this.#out.writer.dataHeader(id, length);
        this.#out.writer.raw(beginning.bytes);
      }
      if (beginning?.isWhole !== true) length += await this.#sendRest(id, file);
      return file.isComplete(length);
    } finally {
      file.close(this.#ended);
    }
  }

  /** Reads ahead one chunk while the one before is written. A file that grows is not followed for ever. */
  async #sendRest(id: number, file: OpenListedFile): Promise<number> {
    const limit = file.sizeBytes === 0 ? Infinity : file.sizeBytes;
    let sent = 0;
    let reading = file.readAhead();
    for (;;) {
      const chunk = await reading;
      if (chunk.length === 0 || this.#ended || sent > limit) return sent;
      sent += chunk.length;
      reading = file.readAhead();
      try {
        await this.#out.sendChunk(id, chunk, () => void chunk.buffer.transfer(0));
      } catch (error) {
        await reading;
        throw error;
      }
    }
  }

  /** Lets others run after a while of synchronous work. */
  async #breathe(): Promise<void> {
    if (performance.now() - this.#sliceStart < sliceMs) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceStart = performance.now();
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** A file that the receiver asked for and that was not sent yet. */
interface Requested {
  readonly id: number;
  readonly entry: SendEntry;
}

const nothing = new Uint8Array(0);

/** BuildKit's clients send what they got, and a build of half a file goes on. */
function changed(path: string): BuildError {
  return new BuildError(
    "failed_precondition",
    `Cannot send files: ${JSON.stringify(path)} changed while the tree was read`,
  );
}
