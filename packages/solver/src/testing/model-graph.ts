import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import type { CacheStore, Result } from "../types.ts";
import type { FakeResults } from "./fake-results.ts";
import { FakeVertex } from "./fake-vertex.ts";
import type { Turns } from "./turns.ts";

/** What a step does. Steps with equal ops and equal inputs give equal results, so they may share them. */
export interface ModelOp {
  /** How many different values it can give: with few, different inputs converge. */
  readonly values: number;
  /** Whether the content of inputs is a key. */
  readonly byContent: boolean;
  /** Whether its key is given at once. */
  readonly isComputed: boolean;
  readonly selector: boolean;
  readonly turns: number;
  /** Never succeeds. */
  readonly fails: boolean;
  /** Fails so often before it succeeds. */
  readonly flaky: number;
}

/** A step of a graph: its inputs are earlier steps. */
export interface ModelStep {
  readonly op: number;
  readonly inputs: readonly { readonly step: number; readonly output: number }[];
  readonly ignoreCache: boolean;
}

export interface ModelGraph {
  readonly ops: readonly ModelOp[];
  readonly steps: readonly ModelStep[];
}

/** What a step of a sequential evaluation gives: both of its outputs, or that it fails, or might. */
interface Evaluated {
  readonly values: readonly [string, string] | undefined;
  readonly mayFail: boolean;
}

/** What an op gives of its inputs, at each of its outputs. */
function valuesOf(id: number, op: ModelOp, inputs: readonly string[]): readonly [string, string] {
  const value = (output: number): string => {
    const digest = digestOf(`${id} ${inputs.join()} ${output}`);
    return `${id}:${Number.parseInt(digest.slice(7, 15), 16) % op.values}`;
  };
  return [value(0), value(1)];
}

/** Builds one step after the other, without caches: what every build must give, however it is interleaved. */
export function evaluate({ ops, steps }: ModelGraph, seed: number): Evaluated[] {
  const done: Evaluated[] = [];
  for (const step of steps) {
    const op = opOf(ops, step);
    const inputs = step.inputs.map((input) => done[input.step]);
    const values = step.inputs.map(({ output }, i) => inputs[i]?.values?.[output]);
    const known = values.filter((value) => value !== undefined);
    const isComplete = !op.fails && known.length === values.length;
    const given = step.inputs.length === 0 ? [`seed ${seed}`] : known;
    done.push({
      values: isComplete ? valuesOf(step.op, op, given) : undefined,
      mayFail: op.flaky > 0 || inputs.some((input) => input?.mayFail === true),
    });
  }
  return done;
}

function opOf(ops: readonly ModelOp[], { op }: ModelStep): ModelOp {
  const found = ops[op];
  if (found === undefined) throw new TypeError("A step of the model has no op");
  return found;
}

/** What all builds of one run share. */
export interface ModelWorld {
  readonly graph: ModelGraph;
  readonly turns: Turns;
  readonly results: FakeResults;
  readonly stores: readonly CacheStore[];
  /** How likely a loaded result turns out to be lost when it is used. */
  readonly lossRate: number;
  /** How often something that a step rests on is taken away while it runs, and how likely each time. */
  readonly thefts: { left: number; readonly rate: number };
  /** By op and inputs: how often it has failed, and whether it runs. */
  readonly failures: Map<string, number>;
  readonly running: Set<string>;
  /** Executions that ran beside an equal one. */
  readonly overlaps: string[];
}

/** The vertices of one build: sources give its seed. */
export function verticesOf(world: ModelWorld, seed: number): FakeVertex[] {
  const vertices: FakeVertex[] = [];
  const isPrivate: boolean[] = [];
  for (const step of world.graph.steps) {
    const inputs = step.inputs.flatMap((input) => vertices[input.step]?.edge(input.output) ?? []);
    isPrivate.push(step.ignoreCache || step.inputs.some((input) => isPrivate[input.step] === true));
    const isShared = isPrivate.at(-1) === false;
    vertices.push(vertexOf(world, { step, inputs, seed, isShared, name: String(vertices.length) }));
  }
  return vertices;
}

function vertexOf(
  world: ModelWorld,
  options: {
    readonly step: ModelStep;
    readonly inputs: FakeVertex["inputs"];
    readonly seed: number;
    readonly isShared: boolean;
    readonly name: string;
  },
): FakeVertex {
  const { step, inputs, seed, isShared, name } = options;
  const op = opOf(world.graph.ops, step);
  const source = inputs.length === 0 ? ` seed ${seed}` : "";
  const given = (values: readonly string[]): readonly string[] => (source === "" ? values : [`seed ${seed}`]);
  const vertex = new FakeVertex(`${name}${source}`, world.results, {
    inputs,
    // As with real ops, the number of inputs is part of what the op is.
    cacheKey: `op ${step.op}/${inputs.length}${source}`,
    isComputed: op.isComputed,
    outputs: 2,
    ignoreCache: step.ignoreCache,
    cacheSources: world.stores,
    content: op.byContent ? inputs.map((_, i) => i) : [],
    selectors: inputs.map(() => (op.selector ? "selected" : undefined)),
    value: (values, output) => valuesOf(step.op, op, given(values))[output] ?? "",
    prepare: async (result) => await prepare(world, result),
    work: async ({ signal }, used) => {
      // Where content is no key, equal inputs of different definitions are different ones.
      const inputsId = op.byContent ? given(used.map(({ value }) => String(value))).join() : vertex.digest;
      await execute(world, { id: `${step.op} ${inputsId}`, op, isShared, signal });
      steal(world, used);
    },
  });
  return vertex;
}

async function prepare({ turns, results, lossRate }: ModelWorld, result: Result): Promise<void> {
  await turns.take();
  results.checkPresent(result.id);
  if (results.isLoaded(result) && turns.random() < lossRate) throw new BuildError("not_found", "the result is lost");
}

/** Takes away something that the inputs of a step rest on. */
function steal({ turns, results, thefts }: ModelWorld, used: readonly Result[]): void {
  if (used.length === 0 || thefts.left === 0 || turns.random() >= thefts.rate) return;
  thefts.left -= 1;
  const foundations = used.flatMap(({ id }) => [...results.foundationsOf(id)]);
  const stolen = foundations[Math.floor(turns.random() * foundations.length)];
  if (stolen !== undefined) results.lose(stolen);
}

async function execute(
  { turns, failures, running, overlaps }: ModelWorld,
  options: { readonly id: string; readonly op: ModelOp; readonly isShared: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { id, op, isShared, signal } = options;
  if (isShared && running.has(id)) overlaps.push(id);
  if (isShared) running.add(id);
  try {
    for (let i = 0; i < op.turns; i++) {
      await turns.take();
      signal.throwIfAborted();
    }
  } finally {
    if (isShared) running.delete(id);
  }
  const failed = failures.get(id) ?? 0;
  if (!op.fails && failed >= op.flaky) return;
  failures.set(id, failed + 1);
  throw new BuildError("unknown", `op ${id} fails`);
}
