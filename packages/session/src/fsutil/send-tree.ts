import { type BigIntStats, close, closeSync, constants, fstatSync, openSync, read, readSync } from "node:fs";
import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import { FrameReader } from "../wire/grpc-frames.ts";
import { hasContent } from "./file-stat.ts";
import { decodePacket, PacketWriter } from "./packet.ts";
import { pathBytes } from "./path-text.ts";
import type { ListedFile, SendEntry } from "./send-entry.ts";

/** Large enough to be cheap, far below the 4 MiB that Go's clients take. */
const chunkBytes = 256 << 10;
/** Files up to this size are read at once, which is cheaper than a trip through the thread pool. */
const smallFileBytes = 64 << 10;
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
  readonly #options: SendTreeOptions;
  readonly #contents = new Map<number, SendEntry>();
  readonly #writer = new PacketWriter();
  readonly #finished = Promise.withResolvers<void>();
  #requests: Requested[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #bytes = 0;
  #sliceStart = performance.now();

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream, options: SendTreeOptions) {
    this.#stream = stream;
    this.#options = options;
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
    if (this.#ended || this.#stream.destroyed || this.#stream.writableEnded) return;
    this.#writer.error(error instanceof Error ? error.message : String(error));
    this.#stream.write(this.#writer.take());
  }

  #onMessage(message: Buffer): void {
    const packet = decodePacket(message);
    switch (packet.type) {
      case "request":
        this.#take(packet.id);
        return;
      case "fin":
        this.#writer.fin();
        this.#stream.write(this.#writer.take());
        this.#options.onProgress?.(this.#bytes);
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
      if (writer.length > smallFileBytes) await this.#write(writer.take());
      await this.#breathe();
    }
    writer.stat(undefined);
    await this.#write(writer.take());
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
      if (this.#writer.length > 0) await this.#write(this.#writer.take());
      if (this.#requests.length > 0 || this.#ended) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async #sendFile({ id, entry }: Requested): Promise<void> {
    const { content = nothing, stat, listed } = entry;
    if (typeof content === "string") {
      const isSame = await this.#sendFromDisk(id, content, listed);
      if (!isSame && !this.#ended) throw changed(stat.path);
    } else await this.#sendBytes(id, content);
    this.#writer.dataHeader(id, 0);
    if (this.#writer.length > chunkBytes) await this.#write(this.#writer.take());
  }

  async #sendBytes(id: number, content: Uint8Array): Promise<void> {
    for (let offset = 0; offset < content.length; offset += chunkBytes) {
      await this.#sendChunk(id, content.subarray(offset, offset + chunkBytes));
    }
  }

  /** @returns whether the file is what it was when it was listed, before and after it is read. */
  async #sendFromDisk(id: number, path: string, listed: ListedFile | undefined): Promise<boolean> {
    const fd = openForReading(path);
    if (fd === undefined) return false;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile() || !isAsListed(stat, listed)) return false;
      let length = 0;
      let isWhole = false;
      if (stat.size <= smallFileBytes) {
        const buffer = Buffer.allocUnsafe(smallFileBytes);
        length = readSync(fd, buffer, 0, buffer.length, null);
        this.#appendChunk(id, buffer.subarray(0, length));
        isWhole = length < smallFileBytes;
      }
      if (!isWhole) length += await this.#sendRest(id, fd, stat.size === 0n ? Infinity : Number(stat.size));
      // Files of /proc have no size before they are read.
      const isComplete = BigInt(length) === stat.size || stat.size === 0n;
      return isComplete && isAsListed(fstatSync(fd, { bigint: true }), listed);
    } finally {
      if (this.#ended) closeSync(fd);
      else close(fd, () => undefined);
    }
  }

  /** Reads ahead one chunk while the one before is written. A file that grows is not followed for ever. */
  async #sendRest(id: number, fd: number, limit: number): Promise<number> {
    let sent = 0;
    let reading = readAhead(fd);
    for (;;) {
      const chunk = await reading;
      if (chunk.length === 0 || this.#ended || sent > limit) return sent;
      sent += chunk.length;
      reading = readAhead(fd);
      try {
        await this.#sendChunk(id, chunk, () => void chunk.buffer.transfer(0));
      } catch (error) {
        await reading;
        throw error;
      }
    }
  }

  #appendChunk(id: number, chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#writer.dataHeader(id, chunk.length);
    this.#writer.raw(chunk);
  }

  /** @param onSent Called when nobody reads the chunk any more. */
  async #sendChunk(id: number, chunk: Uint8Array, onSent?: () => void): Promise<void> {
    if (chunk.length === 0) return;
    this.#writer.dataHeader(id, chunk.length);
    const header = this.#writer.take();
    this.#bytes += header.length;
    this.#stream.cork();
    this.#stream.write(header);
    const written = this.#write(chunk, onSent);
    this.#stream.uncork();
    await written;
  }

  async #write(data: Uint8Array, onSent?: () => void): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) {
      throw new BuildError("unavailable", "Cannot send files: the receiver has gone");
    }
    this.#bytes += data.length;
    this.#options.onProgress?.(this.#bytes);
    const isFlowing = stream.write(data, (error) => {
      if (error === null || error === undefined) onSent?.();
    });
    if (isFlowing) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off("drain", done);
        stream.off("close", done);
        resolve();
      };
      stream.once("drain", done);
      stream.once("close", done);
    });
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

/** Whoever waits for the chunk is told of a failure; while nobody does yet, it must not end the process. */
function readAhead(fd: number): ReturnType<typeof readChunk> {
  const reading = readChunk(fd);
  reading.catch(() => undefined);
  return reading;
}

function isAsListed(stat: BigIntStats, listed: ListedFile | undefined): boolean {
  if (listed === undefined) return true;
  return Number(stat.size) === listed.sizeBytes && stat.mtimeNs === listed.modificationNs;
}

/** BuildKit's clients send what they got, and a build of half a file goes on. */
function changed(path: string): BuildError {
  return new BuildError(
    "failed_precondition",
    `Cannot send files: ${JSON.stringify(path)} changed while the tree was read`,
  );
}

function openForReading(path: string): number | undefined {
  try {
    // Not blocking: a FIFO that took the file's place would make the open wait for ever.
    return openSync(pathBytes(path), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "ELOOP", "ENXIO"].includes(String(error.code))) {
      return undefined;
    }
    throw error;
  }
}

/** A chunk has memory of its own, which is freed when it is sent: a large file would leave garbage of its size. */
async function readChunk(fd: number): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  return await new Promise((resolve, reject) => {
    read(fd, buffer, 0, chunkBytes, null, (error, length) => {
      if (error === null) resolve(buffer.subarray(0, length));
      else reject(error);
    });
  });
}
