import { Duplex } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import { type DataTaker, FrameSplitter } from "./frame-splitter.ts";
import { bulkSessionOptions } from "./http2-settings.ts";

const { initialWindowSize, maxFrameSize } = bulkSessionOptions.settings;
/** How much has to be dealt with before the peer is told. */
const updateBytes = 1 << 20;

/** The data of one stream that are given to its reader directly. Disposal leaves later ones to HTTP/2. */
export interface DivertedData extends Disposable {
  /** Says that so many bytes were dealt with: the peer may send as many more. */
  taken(bytes: number): void;
}

/**
 * A connection below an HTTP/2 client of Node's, from which the data of some streams go to their readers directly: Node
 * calls back for every frame, and a context of small files is two frames a file.
 *
 * Node sees neither these data nor their flow control. The windows it announces when a connection and a stream begin are
 * refilled here, by frames between those that it writes; it writes whole frames at once.
 */
export class DataTap extends Duplex {
  readonly #connection: Duplex;
  readonly #diverted = new Map<number, Diverted>();
  readonly #splitter = new FrameSplitter(
    { takerOf: (id, sizes) => this.#takerOf(id, sizes), pass: (bytes) => this.#pass(bytes) },
    { maxFrameBytes: maxFrameSize },
  );

  constructor(connection: Duplex) {
    super({ readableHighWaterMark: 1 << 20, writableHighWaterMark: 1 << 20 });
    this.#connection = connection;
    connection.on("data", (chunk: Buffer) => {
      try {
        this.#splitter.push(chunk);
      } catch (error) {
        this.destroy(error as Error);
      }
    });
    connection.once("end", () => this.push(null));
    connection.on("error", (error) => this.destroy(error));
    connection.once("close", () => this.destroy());
  }

  /** Gives the data of a stream that was opened and had no answer yet to `onData`. */
  divert(streamId: number, onData: DataTaker): DivertedData {
    const diverted: Diverted = { onData, unanswered: 0, taken: 0 };
    this.#diverted.set(streamId, diverted);
    return {
      taken: (bytes) => this.#take(streamId, diverted, bytes),
      [Symbol.dispose]: () => {
        // What the stream has had of the connection's window is for others again.
        if (this.#diverted.delete(streamId)) this.#widen(0, diverted.unanswered);
      },
    };
  }

  #take(streamId: number, diverted: Diverted, bytes: number): void {
    diverted.taken += bytes;
    if (diverted.taken < updateBytes || !this.#diverted.has(streamId)) return;
    this.#widen(0, diverted.taken);
    this.#widen(streamId, diverted.taken);
    diverted.unanswered -= diverted.taken;
    diverted.taken = 0;
  }

  #takerOf(
    streamId: number,
    { frameBytes, paddingBytes }: { readonly frameBytes: number; readonly paddingBytes: number },
  ): DataTaker | undefined {
    const diverted = this.#diverted.get(streamId);
    if (diverted === undefined) return undefined;
    diverted.unanswered += frameBytes;
    this.#take(streamId, diverted, paddingBytes);
    if (diverted.unanswered > initialWindowSize)
      throw new BuildError("resource_exhausted", "Cannot read HTTP/2 connection: the peer sent more than it may");
    return diverted.onData;
  }

  #pass(bytes: Buffer): void {
    if (!this.push(bytes)) this.#connection.pause();
  }

  #widen(streamId: number, bytes: number): void {
    if (bytes === 0 || this.#connection.destroyed || this.#connection.writableEnded) return;
    this.#connection.write(windowUpdate(streamId, bytes));
  }

  override _read(): void {
    this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#connection.write(chunk, done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#connection.cork();
    for (const [index, { chunk }] of chunks.entries())
      this.#connection.write(chunk, index === chunks.length - 1 ? done : undefined);
    this.#connection.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#diverted.clear();
    this.#connection.destroy();
    done(error);
  }
}

interface Diverted {
  readonly onData: DataTaker;
  /** Bytes of frames for which the windows were not refilled. */
  unanswered: number;
  taken: number;
}

function windowUpdate(streamId: number, bytes: number): Buffer {
  const frame = Buffer.alloc(13);
  frame[2] = 4;
  frame[3] = 8;
  frame.writeUInt32BE(streamId, 5);
  frame.writeUInt32BE(bytes, 9);
  return frame;
}
