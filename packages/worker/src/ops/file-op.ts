import type { opspb } from "@buildkit-ts/api";
import type { CacheManager } from "@buildkit-ts/cache";
import type { FileBackend } from "@buildkit-ts/fileop";
import type { CacheMapAnswer, Op, OpContext, Result, Vertex } from "@buildkit-ts/solver";
import { traceStep } from "../build-trace.ts";
import type { ContentCache } from "../content-selector.ts";
import { keepFailedStep } from "../failed-step.ts";
import { checkInputs, checkInputsOfFailed } from "../find-loss.ts";
import { refOfResult, WorkerResult } from "../worker-result.ts";
import type { WorkerSlots } from "../worker-slots.ts";
import { fileCacheMap } from "./file-cache-map.ts";
import { createFileGraph } from "./file-graph.ts";
import { FileGraphRun } from "./file-graph-run.ts";

/** What {@linkcode FileOperation} works with. */
export interface FileOperationDeps {
  readonly workerId: string;
  readonly cache: ContentCache & Pick<CacheManager, "create">;
  readonly fileBackend: FileBackend;
  readonly temporaryDirectory: string;
  readonly slots: WorkerSlots;
  /** Of this cache, by op: builds share ops (see `KnownOps`), and the answer depends on nothing else. */
  readonly cacheMaps: WeakMap<opspb.FileOp, CacheMapAnswer>;
}

/** Changes files without running a process. */
export class FileOperation implements Op {
  readonly isComputed = true;
  readonly #vertex: Vertex;
  readonly #op: opspb.FileOp;
  readonly #deps: FileOperationDeps;

  constructor(vertex: Vertex, op: opspb.FileOp, deps: FileOperationDeps) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  cacheMap(): CacheMapAnswer {
    const { cache, cacheMaps } = this.#deps;
    let answer = cacheMaps.get(this.#op);
    if (answer === undefined) {
      const inputs = this.#vertex.inputs.length;
      answer = { cacheMap: fileCacheMap(this.#op, { inputs, cache }), done: true };
      cacheMaps.set(this.#op, answer);
    }
    return answer;
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    return await traceStep(this.#vertex, context, async () => await this.#exec(inputs, context));
  }

  async #exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    using _slot = await this.#deps.slots.acquire(context);
    const graph = createFileGraph(this.#op.actions, inputs.length);
    await using run = new FileGraphRun(graph, {
      ...this.#deps,
      inputs: inputs.map(refOfResult),
      description: this.#vertex.name,
      context,
    });
    const refs = await run.outputs().catch(async (error: unknown) => {
      context.signal.throwIfAborted();
      await checkInputsOfFailed(inputs);
      const trees = { inputs, left: async () => await run.commitFailed() };
      throw await keepFailedStep(error, trees, { workerId: this.#deps.workerId, context });
    });
    const results = refs.map((ref) => new WorkerResult(this.#deps.workerId, ref));
    try {
      await checkInputs(this.#read(inputs));
      return results;
    } catch (error) {
      for (const result of results) await result[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Inputs that files were copied from. What lies below the outputs is missed by whoever uses these. */
  #read(inputs: readonly Result[]): Result[] {
    const sources = new Set(this.#op.actions.map(({ secondaryInput }) => Number(secondaryInput)));
    return inputs.filter((_, index) => sources.has(index));
  }
}
