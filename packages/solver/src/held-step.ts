import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import type { EdgeInput } from "./edge-input.ts";
import type { ContentListing, Explanation, MissedInput, MissedStep, StepDescription } from "./explainer.ts";
import { contentOutput, rootKey } from "./root-key.ts";
import { Scope } from "./scope.ts";
import { SolverKey } from "./solver-key.ts";
import type { CacheKeyLink, CacheMap, OpContext, Result, Vertex } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** What is known of an input when its step is executed. */
interface UsedInput {
  readonly vertex: Vertex;
  readonly state: EdgeInput;
  readonly result: Result;
  readonly explanation: Explanation | undefined;
}

interface StepParts {
  readonly keys: readonly SolverKey[];
  readonly cacheMap: CacheMap;
  readonly inputs: readonly UsedInput[];
}

/**
 * A step that is about to be executed, for an explainer. Holds the results whose files it can list until it is disposed:
 * what it is recorded by is told after the build may have ended.
 */
export class HeldStep implements MissedStep, AsyncDisposable {
  readonly vertex: Vertex;
  readonly digests: readonly Digest[];
  readonly description: StepDescription;
  readonly isPersistent: boolean;
  readonly inputs: readonly MissedInput[];
  readonly loss: string | undefined;
  // Of its own: that of the execution ends with it.
  readonly #scope = new Scope();
  readonly #context: OpContext;
  #holds: Result[];
  #lists: Promise<unknown>[] = [];

  constructor(node: VertexNode, { keys, cacheMap, inputs }: StepParts) {
    this.vertex = node.vertex;
    this.digests = keys.map(({ digest }) => digest);
    this.description = cacheMap.describe?.() ?? { kind: "step", fields: new Map() };
    this.isPersistent = keys.some(({ persistent }) => persistent);
    this.loss = node.loss;
    this.#context = node.context(this.#scope);
    const listed = inputs.map((input) =>
      hasFiles(cacheMap, input) ? { ...input, result: input.result.clone() } : input,
    );
    this.#holds = listed.filter((input) => hasFiles(cacheMap, input)).map(({ result }) => result);
    const store = node.environment.cache.id;
    const context = this.#context;
    this.inputs = listed.map((input) => {
      const links = (): readonly CacheKeyLink[] => keys[0]?.deps[input.state.index] ?? [];
      return missedInput(input, { cacheMap, context, links, store });
    });
  }

  /** Lists files while the step runs, so that nobody has to wait for that afterwards. */
  listAhead(): void {
    // Who needs a list that failed hears of it.
    this.#lists = this.inputs.flatMap(({ list }) => list?.().catch(() => undefined) ?? []);
  }

  values(key: string): readonly unknown[] {
    return this.#context.values(key);
  }

  /** The same step, with the holds of this one. */
  move(): MissedStep & AsyncDisposable {
    const holds = this.#holds;
    this.#holds = [];
    this.#lists = [];
    const { vertex, digests, description, isPersistent, inputs, loss } = this;
    const values = (key: string): readonly unknown[] => this.values(key);
    const dispose = async (): Promise<void> => await disposeAll(holds);
    return { vertex, digests, description, isPersistent, inputs, loss, values, [Symbol.asyncDispose]: dispose };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const lists = this.#lists.splice(0);
    // Nobody will record the step: what is listed for that must not go on after the build, holding its results.
    if (lists.length > 0) this.#scope.abort(new BuildError("canceled", `"${this.vertex.name}" is not recorded`));
    await Promise.all(lists);
    await disposeAll(this.#holds.splice(0));
  }
}

function hasFiles(cacheMap: CacheMap, { state }: UsedInput): boolean {
  return state.content !== undefined && cacheMap.deps[state.index]?.content !== undefined;
}

async function disposeAll(holds: readonly Result[]): Promise<void> {
  await Promise.all(holds.map(async (hold) => await hold[Symbol.asyncDispose]()));
}

function missedInput(
  { vertex, state, result, explanation }: UsedInput,
  options: {
    readonly cacheMap: CacheMap;
    readonly context: OpContext;
    readonly links: () => readonly CacheKeyLink[];
    readonly store: string;
  },
): MissedInput {
  const { cacheMap, context, links, store } = options;
  const describer = cacheMap.deps[state.index]?.content;
  let listing: Promise<ContentListing> | undefined;
  return {
    vertex,
    links: () => links().flatMap((link) => linkName(link, store) ?? []),
    content: state.content,
    list:
      state.content === undefined || describer === undefined
        ? undefined
        : async () => await (listing ??= describer.list(result, context)),
    withSameBytes: async (files) => (await describer?.withSameBytes(result, files, context)) ?? files.map(() => false),
    explanation,
  };
}

/** A link as later builds would find it; undefined for a key that cannot be found again. */
function linkName({ key, selector }: CacheKeyLink, store: string): string | undefined {
  const name = (id: Digest | string): string => `${id} ${selector ?? ""}`;
  if (key.output === contentOutput) return name(rootKey(key.digest, key.output));
  if (!(key instanceof SolverKey) || !key.persistent) return undefined;
  const id = key.idIn(store) ?? (key.deps.length === 0 ? rootKey(key.digest, key.output) : undefined);
  return id === undefined ? undefined : name(id);
}
