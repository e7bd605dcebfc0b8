import { BuildError } from "@buildkit-ts/errdefs";

const headBytes = 9;
const dataFrame = 0;
const endOfStream = 0x1;
const padded = 0x8;

/** Where the parts of an HTTP/2 connection go. */
export interface FrameParts {
  /**
   * Who takes the data of this stream; undefined leaves its frames as they are. Told the size of each frame taken, and how
   * much of that is padding, which nobody is given.
   */
  readonly takerOf: (
    streamId: number,
    sizes: { readonly frameBytes: number; readonly paddingBytes: number },
  ) => DataTaker | undefined;
  /** All other bytes, in their order and in pieces of any size. */
  readonly pass: (bytes: Buffer) => void;
}

/** Called with data as they come, in pieces of any size, each valid until the call returns. */
export type DataTaker = (data: Buffer) => void;

/**
 * Takes the data of chosen streams out of what comes on an HTTP/2 connection.
 *
 * The end of a stream is left in: an empty frame says it after the data are given.
 */
export class FrameSplitter {
  readonly #parts: FrameParts;
  readonly #maxFrameBytes: number;
  #held: Buffer | undefined;
  #taker: DataTaker | undefined;
  #left = 0;
  #paddingLeft = 0;
  #end: Buffer | undefined;

  constructor(parts: FrameParts, options: { readonly maxFrameBytes: number }) {
    this.#parts = parts;
    this.#maxFrameBytes = options.maxFrameBytes;
  }

  /** @throws {BuildError} `invalid_argument`, for a frame to be taken that is malformed. */
  push(chunk: Buffer): void {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = undefined;
    // Frames that pass go on together.
    let passFrom = 0;
    for (let at = 0; at < bytes.length; ) {
      if (this.#left + this.#paddingLeft > 0) {
        at = this.#body(bytes, at);
        if (this.#taker !== undefined) passFrom = at;
        continue;
      }
      const begun = this.#begin(bytes, at);
      if (begun !== 0 && this.#taker === undefined) {
        at += begun;
        continue;
      }
      if (passFrom < at) this.#parts.pass(bytes.subarray(passFrom, at));
      if (begun === 0) {
        // Some bytes of a head: the chunk may be large, so they are copied.
        this.#held = Buffer.from(bytes.subarray(at));
        return;
      }
      at += begun;
      passFrom = at;
      this.#finishEmpty();
    }
    if (passFrom < bytes.length) this.#parts.pass(bytes.subarray(passFrom));
  }

  /** Reads a frame's head at `at`; gives its length, or 0 if it is not all there. */
  #begin(bytes: Buffer, at: number): number {
    if (bytes.length - at < headBytes) return 0;
    const length = bytes.readUIntBE(at, 3);
    const flags = bytes[at + 4] ?? 0;
    const isData = bytes[at + 3] === dataFrame;
    const hasPadding = isData && (flags & padded) !== 0 && length > 0;
    if (hasPadding && bytes.length - at === headBytes) return 0;
    const streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    const paddingBytes = hasPadding ? 1 + bytes.readUInt8(at + headBytes) : 0;
    this.#taker = isData ? this.#parts.takerOf(streamId, { frameBytes: length, paddingBytes }) : undefined;
    this.#left = length;
    if (this.#taker === undefined) return headBytes;
    if (length > this.#maxFrameBytes) throw malformed(`a frame of ${length} bytes`);
    this.#end = (flags & endOfStream) === 0 ? undefined : emptyFrame(streamId);
    if (!hasPadding) return headBytes;
    this.#left = length - paddingBytes;
    if (this.#left < 0) throw malformed("more padding than a frame has");
    this.#paddingLeft = paddingBytes - 1;
    return headBytes + 1;
  }

  /** Deals with what is there of a frame's payload; gives where it ends. */
  #body(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (this.#taker !== undefined && end > at) this.#taker(bytes.subarray(at, end));
    const paddingEnd = this.#left > 0 ? end : Math.min(bytes.length, end + this.#paddingLeft);
    this.#paddingLeft -= paddingEnd - end;
    this.#finishEmpty();
    return paddingEnd;
  }

  #finishEmpty(): void {
    if (this.#left + this.#paddingLeft > 0 || this.#end === undefined) return;
    const frame = this.#end;
    this.#end = undefined;
    this.#parts.pass(frame);
  }
}

function emptyFrame(streamId: number): Buffer {
  const frame = Buffer.alloc(headBytes);
  frame[4] = endOfStream;
  frame.writeUInt32BE(streamId, 5);
  return frame;
}

function malformed(what: string): BuildError {
  return new BuildError("invalid_argument", `Cannot read HTTP/2 connection: the peer sent ${what}`);
}
