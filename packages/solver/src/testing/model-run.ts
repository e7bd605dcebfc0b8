import assert from "node:assert/strict";
import type { Clock } from "@buildkit-ts/async";
import { BuildError, VertexError } from "@buildkit-ts/errdefs";
import { BackedCacheStore } from "../backed-cache-store.ts";
import { GraphSolver } from "../graph-solver.ts";
import { MemoryCacheStore } from "../memory-cache-store.ts";
import { RememberedKeys } from "../remembered-keys.ts";
import { FakeResults, findFakeLoss } from "./fake-results.ts";
import { resolveFake } from "./fake-vertex.ts";
import { evaluate, type ModelGraph, type ModelWorld, verticesOf } from "./model-graph.ts";
import { turningCacheStore } from "./turning-cache-store.ts";
import { Turns } from "./turns.ts";

/** One build of a run: what it asks for, when it comes, and when it is canceled. */
export interface ModelBuild {
  readonly step: number;
  readonly output: number;
  /** What its sources give. */
  readonly seed: number;
  readonly startAt: number;
  readonly cancelAfter: number | undefined;
}

/** Everything that one run of the model is made from. */
export interface ModelRun {
  readonly graph: ModelGraph;
  readonly builds: readonly ModelBuild[];
  /** Of the interleaving. */
  readonly seed: number;
  readonly lossRate: number;
  /** How likely a step loses, while it runs, something that it rests on; up to {@linkcode maxThefts} times in all. */
  readonly theftRate: number;
  /** Whether the main cache answers at once. */
  readonly isDirect: boolean;
  /** Of another cache that has all of the graph; undefined for none. */
  readonly importFailureRate: number | undefined;
}

/** No more often than an edge obtains anew what it has lost. */
const maxThefts = 3;

function emptyCounts(): Pick<ModelWorld, "failures" | "running" | "overlaps"> {
  return { failures: new Map(), running: new Set(), overlaps: [] };
}

/** Time that never passes: what the solver does after a while is not part of the model. */
const still: Clock = { now: () => 1, sleep: async () => await new Promise<void>(() => undefined) };

/** Runs all builds in one solver and checks each against the sequential evaluation, and that nothing is left behind. */
export async function runModel(run: ModelRun): Promise<void> {
  const { graph, builds, lossRate, theftRate, importFailureRate } = run;
  const turns = new Turns(run.seed);
  const results = new FakeResults();
  const reports: unknown[] = [];
  const stores = await importedStores(run, turns, results);
  const world: ModelWorld = {
    graph,
    turns,
    results,
    stores,
    lossRate,
    thefts: { left: maxThefts, rate: theftRate },
    ...emptyCounts(),
  };
  // So few keys that some are forgotten again.
  const keys = new RememberedKeys(new MemoryCacheStore({ id: "local", results }).backend, 8);
  const store = new BackedCacheStore("local", keys, results);
  const cache = run.isDirect ? store : turningCacheStore(store, turns, 0);
  const reporter = { report: (error: unknown) => reports.push(error) };
  const solver = new GraphSolver({
    resolveOp: resolveFake,
    cache,
    reporter,
    clock: still,
    lossOf: findFakeLoss,
  });
  await turns.finish(
    Promise.all(builds.map(async (build, i) => await runBuild(world, solver, { ...build, id: `${i}` }))),
  );
  assert.deepEqual(world.overlaps, [], "equal executions ran side by side");
  assert.equal(results.holds.count, 0, "results were leaked");
  assert.equal(results.holds.freedTwice, 0, "results were freed twice");
  if (importFailureRate === undefined && theftRate === 0) assert.deepEqual(reports, []);
}

/** A cache that another solver filled with all that a sequential build of the graph gives. */
async function importedStores(
  { graph, importFailureRate }: ModelRun,
  turns: Turns,
  results: FakeResults,
): Promise<ReturnType<typeof turningCacheStore>[]> {
  if (importFailureRate === undefined) return [];
  const store = new MemoryCacheStore({ id: "imported", results });
  const solver = new GraphSolver({
    resolveOp: resolveFake,
    cache: store,
    reporter: { report: (error) => assert.fail(String(error)) },
    clock: still,
  });
  const settled = graph.ops.map((op) => ({ ...op, flaky: 0 }));
  const world: ModelWorld = {
    graph: { ...graph, ops: settled },
    turns,
    results,
    stores: [],
    lossRate: 0,
    thefts: { left: 0, rate: 0 },
    ...emptyCounts(),
  };
  const builds = graph.steps.map((_, step) => ({ step, output: 0, seed: 0, startAt: 0, cancelAfter: undefined }));
  await turns.finish(
    Promise.all(builds.map(async (build, i) => await runBuild(world, solver, { ...build, id: `other ${i}` }))),
  );
  return [turningCacheStore(store, turns, importFailureRate)];
}

async function runBuild(
  world: ModelWorld,
  solver: GraphSolver,
  build: ModelBuild & { readonly id: string },
): Promise<void> {
  const { turns, graph } = world;
  await turns.until(build.startAt);
  const wanted = evaluate(graph, build.seed)[build.step] ?? assert.fail("no such step");
  const edge = verticesOf(world, build.seed)[build.step]?.edge(build.output) ?? assert.fail("no such step");
  const controller = new AbortController();
  const canceled = new BuildError("canceled", "canceled by the model");
  const { cancelAfter } = build;
  const cancellation =
    cancelAfter === undefined
      ? undefined
      : turns.until(turns.passed + cancelAfter).then(() => controller.abort(canceled));
  {
    await using job = solver.createJob(build.id);
    try {
      await using result = await job.build(edge, { signal: controller.signal });
      assert.equal(result.value, wanted.values?.[build.output]);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      if (error === canceled) assert.ok(controller.signal.aborted);
      else {
        assert.ok(error instanceof VertexError, `failed with ${String(error)}`);
        assert.ok(wanted.mayFail || wanted.values === undefined, `failed with ${error.message}`);
      }
    }
  }
  await cancellation;
}
