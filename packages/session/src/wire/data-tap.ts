import { Duplex } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import { type DataTaker, FrameSplitter } from "./frame-splitter.ts";
import { FrameTurns } from "./frame-turns.ts";
import { PassedData } from "./passed-data.ts";

/** How much has to be dealt with before the peer is told. */
const updateBytes = 1 << 20;
/** What a client sends before its first frame. */
const prefaceBytes = 24;
const flowControlError = 3;
/** Smaller ones are not worth it. */
const minFreedBytes = 4 << 10;

/** What a {@linkcode DataTap} has to know of the HTTP/2 session above it. */
export interface DataTapOptions {
  /** Which end of the connection this is. */
  readonly role: "client" | "server";
  /** What the session announces. */
  readonly settings: { readonly initialWindowSize: number; readonly maxFrameSize: number };
  /** The window that the session gives its connection: so much of all streams may be under way or waiting. */
  readonly connectionWindowBytes: number;
  /**
   * The connection is a socket: each chunk it gives is its reader's alone, and what it was given to write it uses no more
   * once it calls back. Their memory is given back at once. Left to V8's collector, it has the whole heap marked again for
   * every 20 MB of them.
   */
  readonly isSocket?: boolean;
}

/** The data of one stream that are given to its reader directly. Disposal leaves later ones to HTTP/2. */
export interface DivertedData extends Disposable {
  /** How many bytes of the stream went to HTTP/2 before: they come there, and belong before the diverted ones. */
  readonly bytesBefore: number;
  /** Says that so many bytes were dealt with: the peer may send as many more. */
  taken(bytes: number): void;
}

/**
 * A connection below an HTTP/2 session of Node's, from which the data of some streams go to their readers directly: Node
 * calls back for every frame, and a context of small files is two frames a file.
 *
 * Node sees neither these data nor their flow control. The windows it announces when a connection and a stream begin are
 * refilled here, by frames between those that it writes; it writes whole frames at once.
 */
export class DataTap extends Duplex {
  readonly #connection: Duplex;
  readonly #windowBytes: number;
  readonly #connectionWindowBytes: number;
  /** Bytes of all streams' frames for which the connection's window was not refilled. */
  #unanswered = 0;
  /** As many of them as were dealt with, whatever stream they were of. */
  #settled = 0;
  readonly #isSocket: boolean;
  readonly #diverted = new Map<number, Diverted>();
  readonly #passed: PassedData | undefined;
  readonly #turns = new FrameTurns((bytes) => {
    if (!this.push(bytes)) this.#connection.pause();
    else if (!this.#turns.isFull) this.#connection.resume();
  });
  readonly #splitter: FrameSplitter;

  constructor(connection: Duplex, { role, settings, connectionWindowBytes, isSocket = false }: DataTapOptions) {
    super({ readableHighWaterMark: 1 << 20, writableHighWaterMark: 1 << 20 });
    this.#connection = connection;
    this.#windowBytes = settings.initialWindowSize;
    this.#connectionWindowBytes = connectionWindowBytes;
    this.#isSocket = isSocket;
    // A client diverts its streams before they have an answer.
    this.#passed = role === "server" ? new PassedData() : undefined;
    this.#splitter = new FrameSplitter(
      {
        takerOf: (id, sizes) => this.#takerOf(id, sizes),
        onLast: (id) => {
          this.#passed?.end(id);
          this.#turns.cut();
        },
        pass: (bytes) => this.#pass(bytes),
      },
      { maxFrameBytes: settings.maxFrameSize, ...(role === "server" && { prefaceBytes }) },
    );
    connection.on("data", (chunk: Buffer) => {
      try {
        const isKept = this.#splitter.push(chunk);
        if (isSocket && !isKept) free(chunk);
      } catch (error) {
        this.destroy(error as Error);
      }
    });
    connection.once("end", () => this.#turns.whenEmpty(() => this.push(null)));
    connection.on("error", (error) => this.destroy(error));
    connection.once("close", () => this.#turns.whenEmpty(() => this.destroy()));
  }

  /**
   * Gives the data of a stream that was opened to `onData`: for a client before it has an answer. Undefined, if it is not
   * known where in the stream that begins.
   */
  divert(streamId: number, onData: DataTaker): DivertedData | undefined {
    const bytesBefore = this.#passed === undefined ? 0 : this.#passed.bytesOf(streamId);
    if (bytesBefore === undefined) return undefined;
    const diverted: Diverted = { onData, unanswered: 0, held: 0, taken: 0 };
    this.#diverted.set(streamId, diverted);
    return {
      bytesBefore,
      taken: (bytes) => this.#take(streamId, diverted, bytes),
      [Symbol.dispose]: () => {
        // What the stream has had of the connection's window is for others again.
        if (this.#diverted.delete(streamId)) this.#settle(diverted.held);
      },
    };
  }

  #take(streamId: number, diverted: Diverted, bytes: number): void {
    if (!this.#diverted.has(streamId)) return;
    diverted.held -= bytes;
    this.#settle(bytes);
    diverted.taken += bytes;
    if (diverted.taken < updateBytes) return;
    this.#widen(streamId, diverted.taken);
    diverted.unanswered -= diverted.taken;
    diverted.taken = 0;
  }

  #takerOf(
    streamId: number,
    { frameBytes, paddingBytes }: { readonly frameBytes: number; readonly paddingBytes: number },
  ): DataTaker | undefined {
    const diverted = this.#diverted.get(streamId);
    if (diverted === undefined) {
      this.#passed?.add(streamId, frameBytes - paddingBytes);
      return undefined;
    }
    diverted.unanswered += frameBytes;
    diverted.held += frameBytes;
    this.#unanswered += frameBytes;
    this.#take(streamId, diverted, paddingBytes);
    if (diverted.unanswered > this.#windowBytes || this.#unanswered > this.#connectionWindowBytes)
      throw this.#overrun();
    return diverted.onData;
  }

  /** Tells the peer why its connection ends, if it reads that; nobody waits for it. */
  #overrun(): BuildError {
    if (!this.#connection.writableEnded) this.#connection.write(goAway(flowControlError));
    return new BuildError("resource_exhausted", "Cannot read HTTP/2 connection: the peer sent more than it may");
  }

  #pass(bytes: Buffer): void {
    // A copy: the chunk that they lie in is given back, and it may be many times as large.
    this.#turns.push(Buffer.from(bytes));
    if (this.#turns.isFull) this.#connection.pause();
  }

  /**
   * Refills the connection's window, by what all streams have dealt with: many that deal with little each would otherwise
   * leave none to any of them.
   */
  #settle(bytes: number): void {
    this.#settled += bytes;
    if (this.#settled < updateBytes) return;
    this.#unanswered -= this.#settled;
    this.#widen(0, this.#settled);
    this.#settled = 0;
  }

  #widen(streamId: number, bytes: number): void {
    if (bytes === 0 || this.#connection.destroyed || this.#connection.writableEnded) return;
    this.#connection.write(windowUpdate(streamId, bytes));
  }

  override _read(): void {
    this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#connection.cork();
    for (const [index, { chunk }] of chunks.entries())
      this.#send(chunk, index === chunks.length - 1 ? done : undefined);
    this.#connection.uncork();
  }

  #send(chunk: Buffer, done?: (error?: Error | null) => void): void {
    if (!this.#isSocket) {
      this.#connection.write(chunk, done);
      return;
    }
    // Node has made it for us: it copies what goes to a connection that is none of the system's.
    this.#connection.write(chunk, (error) => {
      free(chunk);
      done?.(error);
    });
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
  /** Bytes of frames for which the stream's window was not refilled. */
  unanswered: number;
  /** As many of them as were not dealt with. */
  held: number;
  /** As many of them as were. */
  taken: number;
}

function free(chunk: Buffer): void {
  const { buffer } = chunk;
  // What was cut from a larger buffer does not fill it: others use that.
  if (chunk.length !== buffer.byteLength || chunk.length < minFreedBytes) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

function goAway(code: number): Buffer {
  const frame = Buffer.alloc(17);
  frame[2] = 8;
  frame[3] = 7;
  // Any stream may have been begun: the session above knows which.
  frame.writeUInt32BE(0x7fff_ffff, 9);
  frame.writeUInt32BE(code, 13);
  return frame;
}

function windowUpdate(streamId: number, bytes: number): Buffer {
  const frame = Buffer.alloc(13);
  frame[2] = 4;
  frame[3] = 8;
  frame.writeUInt32BE(streamId, 5);
  frame.writeUInt32BE(bytes, 9);
  return frame;
}
