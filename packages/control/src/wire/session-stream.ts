import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import type { DataTaker, DivertedData } from "@buildkit-ts/session";

/** Larger writes are cut: a message must stay far below gRPC's limit of 16 MiB. */
const maxChunkBytes = 256 * 1024;
/** Length of gRPC's frame header: a flag for compression and the message's length. */
const frameHeaderBytes = 5;
/** Protobuf tag of `BytesMessage.data`: field 1, length-delimited. */
const dataTag = 0x0a;

/**
 * The byte stream inside `Control.Session`: gRPC messages of type `BytesMessage`, whose data are handed on as they come.
 *
 * Works on the HTTP/2 stream itself, or beside it on what a tap diverts of it, without a protobuf message per chunk: a 1 GB
 * context goes through here. What a reader that flows is given is only valid until its listener returns.
 */
export class SessionStream extends Duplex {
  readonly #stream: ServerHttp2Stream;
  readonly #parser = new FrameParser((data) => this.#onData(data));
  readonly #diverted: DivertedData | undefined;
  /** Diverted bytes that came before all of those that belong before them. */
  readonly #early: Buffer[] = [];
  #bytesBefore: number;
  #untaken = 0;
  #isFull = false;

  /** @param divert Has the stream's data given to `onData`, where that is possible. */
  constructor(stream: ServerHttp2Stream, divert?: (onData: DataTaker) => DivertedData | undefined) {
    super({ readableHighWaterMark: 1 << 20, writableHighWaterMark: 1 << 20 });
    this.#stream = stream;
    this.#diverted = divert?.((data) => this.#onDiverted(data));
    this.#bytesBefore = this.#diverted?.bytesBefore ?? 0;
    stream.on("data", (chunk: Buffer) => {
      this.#bytesBefore -= chunk.length;
      this.#parse(chunk);
      if (this.#bytesBefore <= 0) for (const data of this.#early.splice(0)) this.#take(data);
      if (this.#isFull) stream.pause();
    });
    stream.on("end", () => this.push(null));
    stream.on("error", (error) => this.destroy(error));
    stream.on("close", () => this.destroy());
  }

  #onDiverted(data: Buffer): "keep" | undefined {
    if (this.#bytesBefore > 0) {
      this.#early.push(data);
      return "keep";
    }
    this.#take(data);
    // What was not read at once lies in the queue.
    return this.readableLength > 0 ? "keep" : undefined;
  }

  #take(data: Buffer): void {
    this.#parse(data);
    this.#untaken += data.length;
    this.#tellTaken();
  }

  /** What lies in the queue was not taken by anybody: the sessions of a connection share its window. */
  #tellTaken(): void {
    const taken = this.#untaken - this.readableLength;
    if (taken <= 0) return;
    this.#untaken -= taken;
    this.#diverted?.taken(taken);
  }

  override read(size?: number): unknown {
    const data: unknown = super.read(size);
    this.#tellTaken();
    return data;
  }

  #parse(bytes: Buffer): void {
    if (this.destroyed) return;
    try {
      this.#parser.push(bytes);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #onData(data: Buffer): void {
    this.#isFull = !this.push(data);
  }

  override _read(): void {
    this.#isFull = false;
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) {
      done(new BuildError("unavailable", "Cannot write to session: the client has gone"));
      return;
    }
    this.#stream.cork();
    for (let offset = 0; offset < chunk.length; offset += maxChunkBytes) {
      const part = chunk.subarray(offset, offset + maxChunkBytes);
      this.#stream.write(frameHeader(part.length));
      const last = offset + maxChunkBytes >= chunk.length;
      this.#stream.write(part, last ? (error) => done(error) : undefined);
    }
    this.#stream.uncork();
    if (chunk.length === 0) done();
  }

  override _final(done: (error?: Error | null) => void): void {
    // The trailers are sent by whoever accepted the stream, in its handler of "wantTrailers".
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#diverted?.[Symbol.dispose]();
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end();
    done(error);
  }
}

function frameHeader(dataBytes: number): Buffer {
  const varint: number[] = [];
  let rest = dataBytes;
  while (rest > 0x7f) {
    varint.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  varint.push(rest);
  const header = Buffer.alloc(frameHeaderBytes + 1 + varint.length);
  header.writeUInt32BE(dataBytes + 1 + varint.length, 1);
  header[frameHeaderBytes] = dataTag;
  header.set(varint, frameHeaderBytes + 1);
  return header;
}

/** Splits a stream of frames into pieces of `BytesMessage.data` without waiting for whole messages. */
export class FrameParser {
  readonly #emit: (data: Buffer) => void;
  #head: Buffer = Buffer.alloc(0);
  #remaining = 0;

  constructor(emit: (data: Buffer) => void) {
    this.#emit = emit;
  }

  /** @throws {BuildError} `invalid_argument`, for what is no such message. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#remaining > 0) {
        const data = rest.subarray(0, this.#remaining);
        this.#remaining -= data.length;
        rest = rest.subarray(data.length);
        this.#emit(data);
        continue;
      }
      const joined = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest]);
      const parsed = parseHead(joined);
      if (parsed === undefined) {
        this.#head = Buffer.from(joined);
        return;
      }
      this.#head = Buffer.alloc(0);
      this.#remaining = parsed.dataBytes;
      rest = joined.subarray(parsed.headBytes);
    }
  }
}

function parseHead(bytes: Buffer): { headBytes: number; dataBytes: number } | undefined {
  if (bytes.length < frameHeaderBytes) return undefined;
  if (bytes[0] !== 0)
    throw new BuildError("invalid_argument", "Cannot read session message: compression was not agreed on");
  const messageBytes = bytes.readUInt32BE(1);
  if (messageBytes === 0) return { headBytes: frameHeaderBytes, dataBytes: 0 };
  if (bytes.length < frameHeaderBytes + 2) return undefined;
  if (bytes[frameHeaderBytes] !== dataTag) {
    throw new BuildError(
      "invalid_argument",
      `Cannot read session message: unknown field tag ${bytes[frameHeaderBytes]}`,
    );
  }
  let length = 0;
  for (let i = 0; i < 5; i += 1) {
    const byte = bytes[frameHeaderBytes + 1 + i];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) {
      const headBytes = frameHeaderBytes + 2 + i;
      if (length + headBytes - frameHeaderBytes !== messageBytes) {
        throw new BuildError("invalid_argument", "Cannot read session message: its lengths contradict each other");
      }
      return { headBytes, dataBytes: length };
    }
  }
  throw new BuildError("invalid_argument", "Cannot read session message: its length is no varint of 32 bits");
}
