import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";

const endTimeoutMs = 2000;

/** Hands a stream's bytes to a receiver, no faster than it takes them. */
export class OutputReader {
  readonly #stream: Readable;
  readonly #end: Promise<void>;
  #isWaiting = false;

  constructor(stream: Readable, receive: (data: Buffer) => void | Promise<void>) {
    this.#stream = stream;
    this.#end = finished(stream, { writable: false }).catch(() => undefined);
    stream.on("data", (data: Buffer) => {
      const taken = receive(data);
      if (taken !== undefined) this.#waitFor(taken);
    });
  }

  #waitFor(taken: Promise<void>): void {
    this.#isWaiting = true;
    this.#stream.pause();
    const goOn = (): void => {
      this.#isWaiting = false;
      this.#stream.resume();
    };
    taken.then(goOn, goOn);
  }

  /**
   * Resolves at the stream's end, or when it has not come some time after the process's own end: something that was left
   * running in the background may hold it open. While the receiver is waited for, that time does not run out; unless the
   * signal says that nobody wants the rest.
   */
  async ended(options: { readonly signal: AbortSignal }): Promise<void> {
    for (;;) {
      const timeout = Promise.withResolvers<"late">();
      const timer = setTimeout(() => timeout.resolve("late"), endTimeoutMs);
      const outcome = await Promise.race([this.#end, timeout.promise]);
      clearTimeout(timer);
      if (outcome === undefined || !this.#isWaiting || options.signal.aborted) return;
    }
  }
}
