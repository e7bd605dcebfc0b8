import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import { drained } from "../wire/drained.ts";
import { PacketWriter } from "./packet-writer.ts";

/** The sending half of a file sync stream: packets go out as fast as the receiver takes them. */
export class PacketStream {
  /** For packets that go out with the next bytes. */
  readonly writer: PacketWriter = new PacketWriter();
  readonly #stream: ClientHttp2Stream | ServerHttp2Stream;
  readonly #onProgress: ((bytes: number) => void) | undefined;
  #bytes = 0;

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream, onProgress: ((bytes: number) => void) | undefined) {
    this.#stream = stream;
    this.#onProgress = onProgress;
  }

  get isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.writableEnded;
  }

  /** Sends what was written to {@linkcode PacketStream.writer}, and resolves when more may be sent. */
  async flush(): Promise<void> {
    await this.write(this.writer.take());
  }

  /** Sends that without waiting. */
  flushNow(): void {
    this.#stream.write(this.writer.take());
  }

  /** Answers the receiver's end: there is no more to send. */
  finish(): void {
    this.writer.fin();
    this.flushNow();
    this.#onProgress?.(this.#bytes);
  }

  /** @param onSent Called when nobody reads the chunk any more. */
  async sendChunk(id: number, chunk: Uint8Array, onSent?: () => void): Promise<void> {
    if (chunk.length === 0) return;
    this.writer.dataHeader(id, chunk.length);
    const header = this.writer.take();
    this.#bytes += header.length;
    this.#stream.cork();
    this.#stream.write(header);
    const written = this.write(chunk, onSent);
    this.#stream.uncork();
    await written;
  }

  /** Sends bytes and resolves when more may be sent. @param onSent Called when nobody reads the bytes any more. */
  async write(data: Uint8Array, onSent?: () => void): Promise<void> {
    const stream = this.#stream;
    if (!this.isOpen) throw new BuildError("unavailable", "Cannot send files: the receiver has gone");
    this.#bytes += data.length;
    this.#onProgress?.(this.#bytes);
    const isFlowing = stream.write(data, (error) => {
      if (error === null || error === undefined) onSent?.();
    });
    if (!isFlowing) await drained(stream);
  }
}
