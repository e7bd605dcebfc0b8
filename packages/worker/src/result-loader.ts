import type { CacheManager } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { OpContext, Result, ResultLoader } from "@buildkit-ts/solver";
import { parseResultId, WorkerResult } from "./worker-result.ts";

/** Finds the results again whose ids a cache store kept. */
export class WorkerResultLoader implements ResultLoader {
  readonly #workerId: string;
  readonly #cache: Pick<CacheManager, "get">;

  constructor(workerId: string, cache: Pick<CacheManager, "get">) {
    this.#workerId = workerId;
    this.#cache = cache;
  }

  async save(result: Result): Promise<string> {
    return result.id;
  }

  async load(id: string, context: Pick<OpContext, "signal">): Promise<Result> {
    const { workerId, refId } = parseResultId(id);
    if (workerId !== this.#workerId) {
      throw new BuildError("not_found", `Cannot load result "${id}": worker "${workerId}" does not exist`);
    }
    if (refId === "") return new WorkerResult(workerId, undefined);
    return new WorkerResult(workerId, await this.#cache.get(refId, { signal: context.signal }));
  }

  async exists(id: string): Promise<boolean> {
    try {
      // Only a hold tells: between a look and a load the record may go.
      await using _result = await this.load(id, { signal: new AbortController().signal });
      return true;
    } catch (error) {
      if (error instanceof BuildError && (error.code === "not_found" || error.code === "invalid_argument"))
        return false;
      throw error;
    }
  }
}
