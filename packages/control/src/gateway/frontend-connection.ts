import { Duplex } from "node:stream";
import { Channel } from "@buildkit-ts/async";

/** Bytes for the frontend that wait in the daemon, before whoever writes them has to wait. */
const maxPendingBytes = 256 << 10;

/** A frontend's standard input and output as one connection, of which this is the daemon's end. */
export class FrontendConnection extends Duplex {
  /** What the frontend reads on its standard input. */
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly #stdin = new Channel<Uint8Array>({ limit: maxPendingBytes, weigh: (data) => data.length });
  #room: PromiseWithResolvers<void> | undefined;
  #hasSpoken = false;

  constructor() {
    super({ allowHalfOpen: false });
    this.stdin = this.#stdin;
  }

  /** Whether the frontend has sent anything. */
  get hasSpoken(): boolean {
    return this.#hasSpoken;
  }

  /** Takes what the frontend wrote to its standard output; a promise is one to wait for before more is given. */
  receive(data: Uint8Array): void | Promise<void> {
    this.#hasSpoken = true;
    if (this.destroyed || this.push(data)) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  override _read(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#stdin.send(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stdin.close();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stdin.close();
    this.#room?.resolve();
    done(error);
  }
}
