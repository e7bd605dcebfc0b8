import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import { framePrefix, framePrefixBytes } from "./grpc-frames.ts";

/** Longer writes are cut, so that a message stays far below the limits of peers. */
const maxChunkBytes = 256 << 10;
/** Protobuf tag of `BytesMessage.data`: field 1, length-delimited. */
const dataTag = 0x0a;

/**
 * A byte stream inside a gRPC stream of `BytesMessage`: sessions, tunnels to SSH agents and exported archives.
 *
 * Data are handed on as views of the received chunks as they come, without waiting for whole messages.
 */
export class GrpcByteStream extends Duplex {
  readonly #stream: ClientHttp2Stream | ServerHttp2Stream;
  readonly #parser = new BytesMessageParser((data) => this.#onData(data));

  constructor(stream: ClientHttp2Stream | ServerHttp2Stream) {
    super({ readableHighWaterMark: 1 << 20, writableHighWaterMark: 1 << 20 });
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => {
      try {
        this.#parser.push(chunk);
      } catch (error) {
        this.destroy(error as Error);
      }
    });
    let isComplete = false;
    stream.on("end", () => {
      isComplete = true;
      this.push(null);
    });
    stream.on("error", (error) => this.destroy(error));
    stream.on("close", () => {
      // What came is still to be read, by somebody who may not have begun.
      if (isComplete && !this.readableEnded) this.once("end", () => this.destroy());
      else this.destroy();
    });
  }

  #onData(data: Buffer): void {
    if (!this.push(data)) this.#stream.pause();
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this._writev([{ chunk }], done);
  }

  override _writev(chunks: readonly { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) {
      done(new BuildError("unavailable", "Cannot write to stream: the peer has gone"));
      return;
    }
    stream.cork();
    let last: Buffer | undefined;
    for (const { chunk } of chunks) {
      for (let offset = 0; offset < chunk.length; offset += maxChunkBytes) {
        const part = chunk.subarray(offset, offset + maxChunkBytes);
        if (last !== undefined) stream.write(last);
        stream.write(bytesMessagePrefix(part.length));
        last = part;
      }
    }
    if (last === undefined) done();
    else stream.write(last, (error) => done(error ?? null));
    stream.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) done();
    else this.#stream.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#stream.destroyed) this.#stream.close();
    done(error);
  }
}

/** The gRPC prefix and the protobuf header before `length` bytes of `BytesMessage.data`. */
export function bytesMessagePrefix(length: number): Buffer {
  const varint: number[] = [];
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) varint.push((rest & 0x7f) | 0x80);
  varint.push(rest);
  return Buffer.concat([framePrefix(length + 1 + varint.length), Buffer.from([dataTag, ...varint])]);
}

/** Passes the data of `BytesMessage`s through; the few header bytes between them are read one by one. */
export class BytesMessageParser {
  readonly #onData: (data: Buffer) => void;
  #prefix = 0;
  #messageBytes = 0;
  #state: "prefix" | "tag" | "length" | "data" = "prefix";
  #dataBytes = 0;
  #shift = 0;

  constructor(onData: (data: Buffer) => void) {
    this.#onData = onData;
  }

  push(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#state === "data") {
        const end = Math.min(chunk.length, offset + this.#dataBytes);
        this.#dataBytes -= end - offset;
        this.#messageBytes -= end - offset;
        this.#onData(chunk.subarray(offset, end));
        offset = end;
        if (this.#dataBytes === 0) this.#next();
      } else {
        this.#header(chunk[offset] ?? 0);
        offset += 1;
      }
    }
  }

  #next(): void {
    this.#state = this.#messageBytes > 0 ? "tag" : "prefix";
  }

  #header(byte: number): void {
    if (this.#state === "prefix") {
      this.#prefixByte(byte);
      return;
    }
    this.#messageBytes -= 1;
    if (this.#messageBytes < 0) throw malformed();
    if (this.#state === "tag") {
      // The message has one field; anything else is no BytesMessage.
      if (byte !== dataTag) throw malformed();
      this.#state = "length";
      this.#dataBytes = 0;
      this.#shift = 0;
      return;
    }
    this.#dataBytes += (byte & 0x7f) * 2 ** this.#shift;
    this.#shift += 7;
    if (byte > 0x7f) {
      if (this.#shift > 28) throw malformed();
      return;
    }
    if (this.#dataBytes > this.#messageBytes) throw malformed();
    this.#state = "data";
    if (this.#dataBytes === 0) this.#next();
  }

  #prefixByte(byte: number): void {
    if (this.#prefix === 0) {
      if (byte !== 0) throw new BuildError("unimplemented", "Cannot read gRPC message: compression is not supported");
      this.#messageBytes = 0;
    } else {
      this.#messageBytes = this.#messageBytes * 256 + byte;
    }
    this.#prefix += 1;
    if (this.#prefix < framePrefixBytes) return;
    this.#prefix = 0;
    if (this.#messageBytes > 0) this.#state = "tag";
  }
}

function malformed(): BuildError {
  return new BuildError("invalid_argument", "Cannot read byte stream: malformed message");
}
