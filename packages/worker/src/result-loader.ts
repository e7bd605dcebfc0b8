import type { CacheManager } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { OpContext, Result, ResultLoader } from "@buildkit-ts/solver";
import { parseResultId, WorkerResult } from "./worker-result.ts";

/** Finds the results again whose ids a cache store kept. */
export class WorkerResultLoader implements ResultLoader {
  readonly #workerId: string;
  readonly #cache: Pick<CacheManager, "get" | "has">;

  constructor(workerId: string, cache: Pick<CacheManager, "get" | "has">) {
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

  exists(id: string): boolean {
    try {
      const { workerId, refId } = parseResultId(id);
      return workerId === this.#workerId && (refId === "" || this.#cache.has(refId));
    } catch (error) {
      if (error instanceof BuildError && error.code === "invalid_argument") return false;
      throw error;
    }
  }
}
