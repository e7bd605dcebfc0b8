import type { ProgressWriter } from "@buildkit-ts/progress";

const minIntervalMs = 100;
/** What is being done, by which clients tell a transfer from other work. */
const name = "transferring";

/** Reports how many bytes of a transfer came, at most ten times a second, under the id that clients show. */
export class TransferStatus implements Disposable {
  readonly #progress: ProgressWriter;
  readonly #id: string;
  readonly #started = Date.now();
  #current = 0;
  #lastReport = 0;

  constructor(progress: ProgressWriter, id: string) {
    this.#progress = progress;
    this.#id = id;
    progress.status({ id, name, started: this.#started });
  }

  update(bytes: number): void {
    this.#current = bytes;
    const now = Date.now();
    if (now - this.#lastReport < minIntervalMs) return;
    this.#lastReport = now;
    this.#progress.status({ id: this.#id, name, started: this.#started, current: bytes });
  }

  [Symbol.dispose](): void {
    const completed = Date.now();
    this.#progress.status({ id: this.#id, name, started: this.#started, current: this.#current, completed });
  }
}
