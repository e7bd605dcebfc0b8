import { BuildError } from "@buildkit-ts/errdefs";

const headBytes = 9;
const dataFrame = 0;
const headersFrame = 1;
const resetFrame = 3;
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
  /** Told when the peer says that it sends no more on a stream: after all is passed that came before its last frame. */
  readonly onLast?: (streamId: number) => void;
  /** All other bytes, in their order and in pieces of any size, each valid until the call returns. */
  readonly pass: (bytes: Buffer) => void;
}

/**
 * Called with data as they come, in pieces of any size. Who answers `keep` goes on using the piece; of others its memory
 * is free for something else.
 */
export type DataTaker = (data: Buffer) => "keep" | undefined;

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
  /** The stream whose last frame has begun, until that is told. */
  #ended: number | undefined;
  #isKept = false;

  /** @param options.prefaceBytes What comes before the first frame, and is passed; none by default. */
  constructor(parts: FrameParts, options: { readonly maxFrameBytes: number; readonly prefaceBytes?: number }) {
    this.#parts = parts;
    this.#maxFrameBytes = options.maxFrameBytes;
    this.#left = options.prefaceBytes ?? 0;
  }

  /**
   * @returns Whether anybody goes on using the chunk.
   * @throws {BuildError} `invalid_argument`, for a frame to be taken that is malformed.
   */
  push(chunk: Buffer): boolean {
    this.#isKept = false;
    this.#split(chunk);
    return this.#isKept;
  }

  #split(chunk: Buffer): void {
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
      const isPassed = begun !== 0 && this.#taker === undefined;
      if (isPassed && this.#ended === undefined) {
        at += begun;
        continue;
      }
      if (passFrom < at) this.#parts.pass(bytes.subarray(passFrom, at));
      passFrom = at;
      this.#tellEnded();
      if (begun === 0) {
        // Some bytes of a head: the chunk may be large, so they are copied.
        this.#held = Buffer.from(bytes.subarray(at));
        return;
      }
      at += begun;
      if (isPassed) continue;
      passFrom = at;
      this.#finishEmpty();
    }
    if (passFrom < bytes.length) this.#parts.pass(bytes.subarray(passFrom));
  }

  #tellEnded(): void {
    if (this.#ended !== undefined) this.#parts.onLast?.(this.#ended);
    this.#ended = undefined;
  }

  /** Reads a frame's head at `at`; gives its length, or 0 if it is not all there. */
  #begin(bytes: Buffer, at: number): number {
    if (bytes.length - at < headBytes) return 0;
    const { length, type, flags, streamId } = readHead(bytes, at);
    const isData = type === dataFrame;
    const hasPadding = isData && (flags & padded) !== 0 && length > 0;
    if (hasPadding && bytes.length - at === headBytes) return 0;
    const paddingBytes = hasPadding ? 1 + bytes.readUInt8(at + headBytes) : 0;
    this.#taker = isData ? this.#parts.takerOf(streamId, { frameBytes: length, paddingBytes }) : undefined;
    this.#left = length;
    this.#ended = isLast(type, flags) ? streamId : undefined;
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
    if (this.#taker !== undefined && end > at && this.#taker(bytes.subarray(at, end)) === "keep") this.#isKept = true;
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

function readHead(bytes: Buffer, at: number): { length: number; type: number; flags: number; streamId: number } {
  return {
    length: bytes.readUIntBE(at, 3),
    type: bytes[at + 3] ?? 0,
    flags: bytes[at + 4] ?? 0,
    streamId: bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
  };
}

function isLast(type: number, flags: number): boolean {
  if (type === resetFrame) return true;
  return (type === dataFrame || type === headersFrame) && (flags & endOfStream) !== 0;
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
