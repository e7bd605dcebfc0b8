import { BuildError } from "@buildkit-ts/errdefs";
import type { CacheStore } from "./types.ts";

/** So often whoever has a store's results may fail to give one. */
const maxFailures = 2;

/**
 * Which stores are not to be loaded from any more.
 *
 * To find out that somebody does not answer can take long. A store whose results keep failing so is given up; results that
 * it simply does not have any more do not count.
 */
export class StoreLosses {
  readonly #failures = new WeakMap<CacheStore, number>();

  add(store: CacheStore, error: unknown): void {
    if (BuildError.from(error).code === "not_found") return;
    this.#failures.set(store, (this.#failures.get(store) ?? 0) + 1);
  }

  isGivenUp(store: CacheStore): boolean {
    return (this.#failures.get(store) ?? 0) >= maxFailures;
  }
}
