import { opspb } from "@buildkit-ts/api";
import type { CacheManager } from "@buildkit-ts/cache";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf } from "@buildkit-ts/oci";
import type { CacheMapAnswer, Op, OpContext, Result, Vertex } from "@buildkit-ts/solver";
import { describeJson } from "../describe-json.ts";
import { goJson, goObject } from "../go-json.ts";
import { refOptions } from "../ref-options.ts";
import { refOfResult, WorkerResult } from "../worker-result.ts";

/** Lays trees over each other, without copying where the snapshotter can. */
export class MergeOperation implements Op {
  readonly isComputed = true;
  readonly #vertex: Vertex;
  readonly #op: opspb.MergeOp;
  readonly #deps: { readonly workerId: string; readonly cache: Pick<CacheManager, "merge"> };

  constructor(
    vertex: Vertex,
    op: opspb.MergeOp,
    deps: { readonly workerId: string; readonly cache: Pick<CacheManager, "merge"> },
  ) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  cacheMap(): CacheMapAnswer {
    const text = goObject([
      ["Type", formatGoJson("buildkit.merge.v0")],
      ["Merge", goJson(opspb.MergeOpSchema, this.#op)],
    ]);
    const deps = this.#vertex.inputs.map(() => ({}));
    return { cacheMap: { digest: digestOf(text), deps, describe: () => describeJson("merge", text) }, done: true };
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    const { workerId, cache } = this.#deps;
    const refs = inputs.map(refOfResult).filter((ref) => ref !== undefined);
    if (refs.length === 0) return [new WorkerResult(workerId, undefined)];
    const merged = await cache.merge(refs, { ...refOptions(context), description: this.#vertex.name });
    return [new WorkerResult(workerId, merged)];
  }
}
