import type { opspb } from "@buildkit-ts/api";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { type Digest, digestHex, digestOf, formatPlatform } from "@buildkit-ts/oci";
import { redactCredentials } from "@buildkit-ts/provenance";
import type { CacheMap, Op, OpContext, Result, StepDescription, Vertex } from "@buildkit-ts/solver";
import type { Source, SourceInstance } from "@buildkit-ts/sources";
import { traceStep } from "../build-trace.ts";
import { operationOf } from "../definition/llb-operation.ts";
import { invalid } from "../definition/validate-op.ts";
import { WorkerResult } from "../worker-result.ts";
import type { WorkerSlots } from "../worker-slots.ts";

/** Brings a tree in from outside. */
export class SourceOperation implements Op {
  readonly #vertex: Vertex;
  readonly #op: opspb.SourceOp;
  readonly #deps: SourceOperationDeps;
  #instance: SourceInstance | undefined;
  #pin = "";

  constructor(vertex: Vertex, op: opspb.SourceOp, deps: SourceOperationDeps) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  /** What the identifier resolved to, such as an image's digest, for provenance; empty before the first cache map. */
  get pin(): string {
    return this.#pin;
  }

  get identifier(): string {
    return this.#op.identifier;
  }

  async cacheMap(index: number, context: OpContext): Promise<{ readonly cacheMap: CacheMap; readonly done: boolean }> {
    const { key, pin, done } = await traceStep(
      this.#vertex,
      context,
      async () => await this.#resolve().cacheKey(index, context),
    );
    if (this.#pin === "") this.#pin = pin;
    const digest = digestOf(`buildkit.source.v0:${key}`);
    // A key that a session made says nothing in another one: "random" keys are never stored.
    const isRandom = key.startsWith("session:");
    const describe = (): StepDescription => this.#describe(key);
    return {
      cacheMap: { digest: isRandom ? (`random:${digestHex(digest)}` as Digest) : digest, deps: [], describe },
      done,
    };
  }

  #describe(key: string): StepDescription {
    const { platform } = operationOf(this.#vertex);
    const resolved = this.#pin === "" ? digestOf(key).slice(0, 19) : this.#pin;
    const fields = new Map([
      ["source", redactCredentials(this.#op.identifier)],
      ["resolved", redactCredentials(resolved)],
      ["platform", formatPlatform(platform)],
    ]);
    return { kind: "source", fields };
  }

  async exec(_inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    using _slot = await this.#deps.slots.acquire(context);
    const snapshot = async (): Promise<ImmutableRef | undefined> => await this.#resolve().snapshot(context);
    return [new WorkerResult(this.#deps.workerId, await traceStep(this.#vertex, context, snapshot))];
  }

  #resolve(): SourceInstance {
    if (this.#instance !== undefined) return this.#instance;
    const { identifier, attrs } = this.#op;
    const source = findSource(this.#deps.sources, identifier);
    this.#instance = source.resolve({
      identifier,
      attributes: attrs,
      platform: operationOf(this.#vertex).platform,
      vertex: this.#vertex.digest,
    });
    return this.#instance;
  }
}

/** The source for an identifier's scheme. @throws {BuildError} `invalid_argument`, for a scheme that none has. */
export function findSource(sources: readonly Source[], identifier: string): Source {
  const end = identifier.indexOf("://");
  if (end < 0) throw invalid(`failed to parse ${identifier} : invalid`);
  const scheme = identifier.slice(0, end);
  const source = sources.find(({ schemes }) => schemes.includes(scheme));
  if (source === undefined) throw invalid(`unsupported scheme ${scheme}: not found`);
  return source;
}

/** What {@linkcode SourceOperation} works with. */
export interface SourceOperationDeps {
  readonly workerId: string;
  readonly sources: readonly Source[];
  readonly slots: WorkerSlots;
}
