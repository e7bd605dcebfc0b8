import type { Result } from "@buildkit-ts/solver";
import type { FailureStore } from "@buildkit-ts/worker";

/** Results that a build's failures told its client of, by id: what the client may make containers of. */
export class KeptResults implements FailureStore, AsyncDisposable {
  readonly #results = new Map<string, Result>();
  #disposed = false;

  async keep(result: Result): Promise<void> {
    if (this.#disposed || this.#results.has(result.id)) await result[Symbol.asyncDispose]();
    else this.#results.set(result.id, result);
  }

  /** The hold stays here. */
  find(id: string): Result | undefined {
    return this.#results.get(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const results = [...this.#results.values()];
    this.#results.clear();
    await Promise.all(results.map(async (result) => await result[Symbol.asyncDispose]()));
  }
}
