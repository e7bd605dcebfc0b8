import type { CacheManager } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Result } from "@buildkit-ts/solver";
import { parseResultId, WorkerResult } from "./worker-result.ts";

/** Finds the results again whose ids a cache store kept. */
export class WorkerResultLoader {
  readonly #workerId: string;
  readonly #cache: Pick<CacheManager, "get">;

  constructor(workerId: string, cache: Pick<CacheManager, "get">) {
    this.#workerId = workerId;
    this.#cache = cache;
  }

  /** @throws {BuildError} `not_found`, when the ref is gone or belongs to another worker. */
  async load(id: string, options: { readonly signal: AbortSignal }): Promise<Result> {
    const { workerId, refId } = parseResultId(id);
    if (workerId !== this.#workerId) {
      throw new BuildError("not_found", `Cannot load result "${id}": worker "${workerId}" does not exist`);
    }
    if (refId === "") return new WorkerResult(workerId, undefined);
    return new WorkerResult(workerId, await this.#cache.get(refId, { signal: options.signal }));
  }
}
