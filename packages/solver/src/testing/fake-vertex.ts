import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { ContentDescriber } from "../explainer.ts";
import type { CacheMapAnswer, CacheStore, Edge, Op, OpContext, PrepareResult, Result, Vertex } from "../types.ts";
import type { FakeResults } from "./fake-results.ts";

export interface FakeVertexOptions {
  readonly inputs?: readonly Edge[];
  /** Text of the cache map's digest; the name by default. Several for a source that gives several keys. */
  readonly cacheKey?: string | readonly string[];
  /** A digest to be used as it is, such as `random:…`. */
  readonly rawDigest?: Digest;
  readonly selectors?: readonly (string | undefined)[];
  /** Inputs whose content is a key: that of the result's value. */
  readonly content?: readonly number[];
  /** Tells what those content keys are made of. */
  readonly describer?: ContentDescriber;
  readonly outputs?: number;
  readonly ignoreCache?: boolean;
  readonly cacheSources?: readonly CacheStore[];
  /** The value that the op gives; by default made of its key and its inputs' values. */
  readonly value?: (inputs: readonly string[], output: number) => string;
  /** Runs in the op; may fail, wait or report. */
  readonly work?: (context: OpContext, inputs: readonly Result[]) => Promise<void>;
  readonly prepare?: PrepareResult;
  readonly exportCache?: boolean;
  /** Gives its only key at once. */
  readonly isComputed?: boolean;
}

/** A vertex whose op counts what it is asked for. */
export class FakeVertex implements Vertex, Op {
  readonly name: string;
  readonly digest: Digest;
  readonly inputs: readonly Edge[];
  readonly options: Vertex["options"];
  readonly operation: FakeVertex = this;
  readonly #fake: FakeVertexOptions;
  readonly #results: FakeResults;
  cacheMaps = 0;
  digests = 0;
  execs = 0;

  constructor(name: string, results: FakeResults, options: FakeVertexOptions = {}) {
    this.name = name;
    this.inputs = options.inputs ?? [];
    this.#fake = options;
    this.#results = results;
    this.digest = digestOf(JSON.stringify([name, this.inputs.map((e) => [e.vertex.digest, e.index])]));
    this.options = {
      ignoreCache: options.ignoreCache ?? false,
      description: {},
      cacheSources: options.cacheSources ?? [],
      ...(options.exportCache !== undefined && { exportCache: options.exportCache }),
    };
  }

  edge(index: number = 0): Edge {
    return { vertex: this, index };
  }

  get isComputed(): boolean {
    return this.#fake.isComputed ?? false;
  }

  cacheMap(index: number): ReturnType<Op["cacheMap"]> {
    this.cacheMaps += 1;
    return this.isComputed ? this.#answer(index) : Promise.resolve().then(() => this.#answer(index));
  }

  #answer(index: number): CacheMapAnswer {
    const { cacheKey = this.name, rawDigest } = this.#fake;
    const keys = typeof cacheKey === "string" ? [cacheKey] : cacheKey;
    const digest = rawDigest ?? digestOf(keys[index] ?? "");
    const deps = this.inputs.map((_, i) => {
      const selector = this.#fake.selectors?.[i];
      const { prepare, describer } = this.#fake;
      return {
        ...(selector !== undefined && { selector: digestOf(selector) }),
        ...(prepare !== undefined && { prepare }),
        ...(this.#fake.content?.includes(i) === true && {
          ...(describer !== undefined && { content: describer }),
          computeContentDigest: (result: Result) => {
            this.digests += 1;
            return Promise.resolve(digestOf(`content ${String(result.value)}`));
          },
        }),
      };
    });
    return { cacheMap: { digest, deps }, done: index + 1 >= keys.length };
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    this.execs += 1;
    await this.#fake.work?.(context, inputs);
    // A step may have seen anything if something was taken away while it ran.
    for (const { id } of inputs) this.#results.checkPresent(id);
    const values = inputs.map((input) => String(input.value));
    const { value, outputs = 1, cacheKey = this.name } = this.#fake;
    return Array.from({ length: outputs }, (_, output) =>
      this.#results.create(
        value?.(values, output) ?? digestOf(`${String(cacheKey)}(${values.join()})#${output}`),
        inputs,
      ),
    );
  }
}

/** Takes the vertex itself for its op. */
export function resolveFake(vertex: Vertex): Op {
  if (vertex.operation instanceof FakeVertex) return vertex.operation;
  throw new TypeError("Only fake vertices have an op here");
}
