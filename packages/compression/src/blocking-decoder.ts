import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { BuildError } from "@buildkit-ts/errdefs";

/** The part of Node's decoders that does a piece of work on the calling thread. Not documented, but checked when one is made. */
interface NativeDecoder {
  writeSync(
    flush: number,
    ...pieces: [input: Uint8Array, at: number, length: number, output: Uint8Array, to: number, room: number]
  ): void;
  onerror: (message: string) => void;
}

interface DecoderStream {
  readonly _handle?: NativeDecoder | null;
  /** What is left after a piece of work: room for output, and input. */
  readonly _writeState?: Uint32Array;
}

const nothing = new Uint8Array();

/**
 * A gzip or zstd decoder that works on the thread that calls it. A stream's does each piece of work on another one, which costs
 * a thread that may block more than the pieces themselves.
 */
export class BlockingDecoder implements Disposable {
  readonly #type: "gzip" | "zstd";
  readonly #stream: ReturnType<typeof createGunzip>;
  readonly #native: NativeDecoder;
  readonly #state: Uint32Array;
  readonly #output: Uint8Array;
  #filled = 0;
  #failure: string | undefined;
  /** Whether the stream is over: what follows is no part of it. */
  isOver = false;

  /** @param output Is filled again and again: what is given out is valid until more is asked for. */
  constructor(type: "gzip" | "zstd", output: Uint8Array) {
    this.#type = type;
    this.#output = output;
    // The stream would make an output of its own; this is the least that it takes.
    this.#stream = type === "gzip" ? createGunzip({ chunkSize: 64 }) : createZstdDecompress({ chunkSize: 64 });
    const { _handle: native, _writeState: state } = this.#stream as DecoderStream;
    if (typeof native?.writeSync !== "function" || state === undefined)
      throw new BuildError(
        "unimplemented",
        `Cannot decompress "${type}" stream: this version of Node has another decoder`,
      );
    native.onerror = (message): void => void (this.#failure = message);
    this.#native = native;
    this.#state = state;
  }

  /** What the output holds each time that it is full. @throws {BuildError} `invalid_argument` */
  write(input: Uint8Array): Generator<Uint8Array, void> {
    return this.#decode(input, this.#type === "gzip" ? constants.Z_NO_FLUSH : constants.ZSTD_e_continue);
  }

  /** The rest. @throws {BuildError} `invalid_argument`, if the stream is cut off. */
  *finish(): Generator<Uint8Array, void> {
    if (!this.isOver) yield* this.#decode(nothing, this.#type === "gzip" ? constants.Z_FINISH : constants.ZSTD_e_end);
    if (this.#filled > 0) yield this.#output.subarray(0, this.#filled);
    this.#filled = 0;
  }

  *#decode(input: Uint8Array, flush: number): Generator<Uint8Array, void> {
    let left = input.length;
    for (;;) {
      const room = this.#output.length - this.#filled;
      this.#native.writeSync(flush, input, input.length - left, left, this.#output, this.#filled, room);
      if (this.#failure !== undefined)
        throw new BuildError("invalid_argument", `Cannot decompress "${this.#type}" stream: ${this.#failure}`);
      const [roomLeft = 0, inputLeft = 0] = this.#state;
      this.#filled = this.#output.length - roomLeft;
      left = inputLeft;
      if (roomLeft > 0) break;
      this.#filled = 0;
      yield this.#output;
    }
    // A decoder that has room and wants no more has seen the end.
    this.isOver = left > 0;
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}
