import { BuildError } from "@buildkit-ts/errdefs";

/** Length of a message's prefix: one byte that says whether it is compressed, four for its length. */
export const framePrefixBytes = 5;

/** What containerd's and BuildKit's peers accept. */
export const maxMessageBytes: number = 16 << 20;

/** The prefix of an uncompressed message. */
export function framePrefix(length: number): Buffer {
  const prefix = Buffer.allocUnsafe(framePrefixBytes);
  prefix[0] = 0;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** One message with its prefix. */
export function frameMessage(payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(framePrefixBytes + payload.length);
  frame[0] = 0;
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, framePrefixBytes);
  return frame;
}

/**
 * Cuts a byte stream into gRPC messages.
 *
 * A message that lies whole in one chunk is handed on as a view of that chunk; only those that span chunks are copied.
 */
export class FrameReader {
  readonly #onMessage: (message: Buffer) => void;
  #rest: Buffer | undefined;
  #partial: Buffer | undefined;
  #filled = 0;

  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** @throws {BuildError} `resource_exhausted`, for a message over 16 MiB; `unimplemented`, for a compressed one. */
  push(chunk: Buffer): void {
    let data = chunk;
    if (this.#rest !== undefined) {
      data = Buffer.concat([this.#rest, chunk]);
      this.#rest = undefined;
    }
    let offset = 0;
    if (this.#partial !== undefined) offset = this.#fill(this.#partial, data);
    while (data.length - offset >= framePrefixBytes) {
      const length = readPrefix(data, offset);
      const start = offset + framePrefixBytes;
      if (data.length - start < length) {
        this.#partial = Buffer.allocUnsafe(length);
        this.#filled = data.copy(this.#partial, 0, start);
        return;
      }
      offset = start + length;
      this.#onMessage(data.subarray(start, offset));
    }
    // The chunk may be reused or be large: the few bytes of a cut prefix are copied.
    if (offset < data.length) this.#rest = Buffer.from(data.subarray(offset));
  }

  /** Whether a message was begun and not finished. */
  get isPartial(): boolean {
    return this.#rest !== undefined || this.#partial !== undefined;
  }

  #fill(partial: Buffer, data: Buffer): number {
    const copied = data.copy(partial, this.#filled);
    this.#filled += copied;
    if (this.#filled === partial.length) {
      this.#partial = undefined;
      this.#filled = 0;
      this.#onMessage(partial);
    }
    return copied;
  }
}

function readPrefix(data: Buffer, offset: number): number {
  if (data[offset] !== 0) {
    throw new BuildError("unimplemented", "Cannot read gRPC message: compression is not supported");
  }
  const length = data.readUInt32BE(offset + 1);
  if (length > maxMessageBytes) {
    throw new BuildError(
      "resource_exhausted",
      `Cannot read gRPC message: ${length} bytes is over the limit of ${maxMessageBytes}`,
    );
  }
  return length;
}
