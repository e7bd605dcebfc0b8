import { opspb } from "@buildkit-ts/api";
import type { CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf } from "@buildkit-ts/oci";
import type { CacheMapAnswer, Op, OpContext, Result, Vertex } from "@buildkit-ts/solver";
import { invalid } from "../definition/validate-op.ts";
import { describeJson } from "../describe-json.ts";
import { goJson, goObject } from "../go-json.ts";
import { refOptions } from "../ref-options.ts";
import { refOfResult, WorkerResult } from "../worker-result.ts";

/** Gives what changed from one tree to another. */
export class DiffOperation implements Op {
  readonly isComputed = true;
  readonly #vertex: Vertex;
  readonly #op: opspb.DiffOp;
  readonly #deps: { readonly workerId: string; readonly cache: Pick<CacheManager, "diff"> };

  constructor(
    vertex: Vertex,
    op: opspb.DiffOp,
    deps: { readonly workerId: string; readonly cache: Pick<CacheManager, "diff"> },
  ) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  cacheMap(): CacheMapAnswer {
    const text = goObject([
      ["Type", formatGoJson("buildkit.diff.v0")],
      ["Diff", goJson(opspb.DiffOpSchema, this.#op)],
    ]);
    const deps = this.#vertex.inputs.map(() => ({}));
    return { cacheMap: { digest: digestOf(text), deps, describe: () => describeJson("diff", text) }, done: true };
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    const { workerId, cache } = this.#deps;
    // Sides that are scratch have no input; the others come in order, whatever index they name.
    const remaining = [...inputs];
    const lower = takeSide("lower", this.#op.lower?.input, remaining);
    const upper = takeSide("upper", this.#op.upper?.input, remaining);
    if (lower === undefined) return [new WorkerResult(workerId, upper?.clone())];
    if (upper !== undefined && upper.id === lower.id) return [new WorkerResult(workerId, undefined)];
    const options = { ...refOptions(context), description: this.#vertex.name };
    return [new WorkerResult(workerId, await cache.diff(lower, upper, options))];
  }
}

function takeSide(side: string, input: bigint | undefined, remaining: Result[]): ImmutableRef | undefined {
  if (input === -1n) return undefined;
  const result = remaining.shift();
  if (result === undefined) throw invalid(`invalid nil ${side} input for diff op`);
  return refOfResult(result);
}
