import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as fc from "fast-check";
import { GraphSolver } from "./graph-solver.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { FakeResults } from "./testing/fake-results.ts";
import { type FakeVertex, resolveFake } from "./testing/fake-vertex.ts";
import { type ModelGraph, verticesOf } from "./testing/model-graph.ts";
import { type ModelBuild, type ModelRun, runModel } from "./testing/model-run.ts";
import { Turns } from "./testing/turns.ts";

const numRuns = Number(process.env["SOLVER_MODEL_RUNS"] ?? (process.env["NIGHTLY"] === undefined ? 2000 : 100_000));
/** Of all that is random, so that long runs can be cut into parts; by default another one each time, which a failure tells. */
const seed = process.env["SOLVER_MODEL_SEED"];
const random = seed === undefined ? {} : { seed: Number(seed) };

const oneIn = (n: number): fc.Arbitrary<boolean> => fc.integer({ min: 0, max: n - 1 }).map((i) => i === 0);

const ops = fc.array(
  fc.record({
    values: fc.integer({ min: 1, max: 3 }),
    byContent: fc.boolean(),
    isComputed: fc.boolean(),
    selector: oneIn(4),
    turns: fc.nat(3),
    fails: oneIn(20),
    flaky: fc.integer({ min: 0, max: 9 }).map((n) => Math.max(0, n - 7)),
  }),
  { minLength: 2, maxLength: 6 },
);

const steps = fc.array(
  fc.record({
    op: fc.nat(),
    inputs: fc.array(fc.record({ step: fc.nat(), output: fc.nat(1) }), { maxLength: 3 }),
    ignoreCache: oneIn(10),
  }),
  { minLength: 1, maxLength: 10 },
);

const graphs: fc.Arbitrary<ModelGraph> = fc.record({ ops, steps }).map((drawn) => ({
  ops: drawn.ops,
  steps: drawn.steps.map((step, i) => ({
    ...step,
    op: step.op % drawn.ops.length,
    inputs: i === 0 ? [] : step.inputs.map((input) => ({ ...input, step: input.step % i })),
  })),
}));

const build: fc.Arbitrary<ModelBuild> = fc.record({
  step: fc.nat(),
  output: fc.nat(1),
  seed: fc.nat(2),
  startAt: fc.nat(30),
  cancelAfter: fc.option(fc.nat(40), { nil: undefined, freq: 2 }),
});

/** Mostly a few at a time, sometimes up to twenty. */
const builds = fc.oneof(
  { weight: 9, arbitrary: fc.array(build, { minLength: 1, maxLength: 5 }) },
  { weight: 1, arbitrary: fc.array(build, { minLength: 6, maxLength: 20 }) },
);

const runs: fc.Arbitrary<ModelRun> = fc
  .record({
    graph: graphs,
    builds,
    seed: fc.nat(),
    lossRate: fc.constantFrom(0, 0, 0.1, 0.5),
    theftRate: fc.constantFrom(0, 0, 0.1, 0.5),
    isDirect: fc.boolean(),
    importFailureRate: fc.constantFrom(undefined, undefined, 0, 0.3),
  })
  .map((run) => ({
    ...run,
    builds: run.builds.map((one) => ({ ...one, step: one.step % run.graph.steps.length })),
  }));

suite("the solver against a sequential evaluator", () => {
  test(`gives the same over ${numRuns} random graphs, builds, interleavings, failures, losses and cancellations`, async () => {
    await fc.assert(fc.asyncProperty(runs, runModel), { numRuns, ...random });
  });

  test("executes nothing twice that is cached, without failures and cancellations", async () => {
    await fc.assert(
      fc.asyncProperty(graphs, fc.nat(), async (drawn, turnSeed) => {
        const graph = {
          ops: drawn.ops.map((op) => ({ ...op, fails: false, flaky: 0 })),
          steps: drawn.steps.map((step) => ({ ...step, ignoreCache: false })),
        };
        const [turns, results] = [new Turns(turnSeed), new FakeResults()];
        const cache = new MemoryCacheStore({ id: "local", results });
        const solver = new GraphSolver({ resolveOp: resolveFake, cache, reporter: { report: assert.fail } });
        const world = { graph, turns, results, stores: [], lossRate: 0, thefts: { left: 0, rate: 0 } };
        const shared = { failures: new Map<string, number>(), running: new Set<string>(), overlaps: [] };
        const execsOf = async (): Promise<number> => {
          const vertices: FakeVertex[] = verticesOf({ ...world, ...shared }, 0);
          await using job = solver.createJob(`${turns.passed}`);
          const root = vertices.at(-1)?.edge() ?? assert.fail();
          await using _result = await turns.finish(job.build(root, { signal: new AbortController().signal }));
          return vertices.reduce((sum, vertex) => sum + vertex.execs, 0);
        };
        assert.ok((await execsOf()) > 0);
        assert.equal(await execsOf(), 0);
      }),
      { numRuns: Math.ceil(numRuns / 10), ...random },
    );
  });
});
