import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { LostResult } from "./lost-result.ts";
import { Scope } from "./scope.ts";
import { type BegunWork, SharedTask } from "./shared-task.ts";
import type { CacheMap, CacheMapAnswer, Op, Result } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** What a vertex's op says that the vertex and its inputs are known by. Each question is asked once. */
export class OpAnswers {
  readonly #node: VertexNode;
  readonly #cacheMaps: SharedTask<CacheMapAnswer>[] = [];
  #inputs: Map<string, SharedTask<Digest | undefined>> | undefined;
  #op: Op | undefined;

  constructor(node: VertexNode) {
    this.#node = node;
  }

  /** What answers for the vertex; undefined, while nothing was asked of it. */
  get asked(): Op | undefined {
    return this.#op;
  }

  op(): Op {
    this.#op ??= this.#node.environment.resolveOp(this.#node.vertex);
    return this.#op;
  }

  /** The only cache map, if it is there or computed. What cannot be computed is left to {@linkcode cacheMap}, which says why. */
  cacheMapNow(): CacheMap | undefined {
    const known = this.#cacheMaps[0];
    if (known !== undefined || this.#node.failures.hasFailed) return known?.done?.value.cacheMap;
    try {
      const op = this.op();
      if (op.isComputed !== true) return undefined;
      const answer = op.cacheMap(0, this.#node.context(new Scope()));
      if (answer instanceof Promise) throw new TypeError("A computed cache map was not given at once");
      this.#check(answer);
      this.#cacheMaps[0] = this.#ask(0);
      this.#cacheMaps[0].finish(answer);
      this.#showSource();
      return answer.cacheMap;
    } catch {
      return undefined;
    }
  }

  async cacheMap(index: number, scope: Scope): Promise<CacheMapAnswer> {
    this.#cacheMaps[index] ??= this.#ask(index);
    return await this.#cacheMaps[index].run(scope);
  }

  /** Makes an input's result ready for use and gives its content key, where the op computes one. */
  async inputDigest(index: number, result: Result, scope: Scope): Promise<Digest | undefined> {
    const { cacheMap } = await this.cacheMap(0, scope);
    const dependency = cacheMap.deps[index];
    if (dependency?.prepare === undefined && dependency?.computeContentDigest === undefined) return undefined;
    const key = `${index} ${result.id}`;
    const asked = (this.#inputs ??= new Map());
    let task = asked.get(key);
    if (task === undefined) {
      task = new SharedTask(async (own) => {
        const context = this.#node.context(own);
        try {
          await dependency.prepare?.(result, context);
        } catch (error) {
          own.throwIfAborted();
          // An equal result may come from elsewhere, and not be lost.
          asked.delete(key);
          throw new LostResult(error);
        }
        return await dependency.computeContentDigest?.(result, context);
      });
      asked.set(key, task);
    }
    return await task.run(scope);
  }

  /** Every question that was asked. */
  *tasks(): Generator<BegunWork, void> {
    yield* this.#cacheMaps;
    if (this.#inputs !== undefined) yield* this.#inputs.values();
  }

  #ask(index: number): SharedTask<CacheMapAnswer> {
    const { failures, inputs, log } = this.#node;
    return new SharedTask(async (own) => {
      const ask = async (): Promise<CacheMapAnswer> => {
        const answer = await this.op().cacheMap(index, this.#node.context(own));
        this.#check(answer);
        return answer;
      };
      // A source is asked over the network, so the user sees it; what others answer is computed.
      const work = () => (inputs.length === 0 ? log.interval(false, ask) : ask());
      return await failures.guard(own, work, "failed to load cache key");
    });
  }

  #showSource(): void {
    const { inputs, log } = this.#node;
    if (inputs.length > 0) return;
    log.start(false);
    log.complete(undefined);
  }

  #check({ cacheMap: { deps } }: CacheMapAnswer): void {
    const { name, inputs } = this.#node.vertex;
    if (deps.length === inputs.length) return;
    const text = `Cannot use cache map of "${name}": ${deps.length} dependencies for ${inputs.length} inputs`;
    throw new BuildError("internal", text);
  }
}
