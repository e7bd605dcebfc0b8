import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import * as fc from "fast-check";
import { FakeVertex } from "./testing/fake-vertex.ts";
import { SolverFixture } from "./testing/solver-fixture.ts";

const numRuns = Number(process.env["SOLVER_MODEL_RUNS"] ?? 200);

/** A vertex of the model: its inputs are earlier vertices. */
interface Step {
  readonly inputs: readonly number[];
  readonly content: boolean;
  readonly fails: boolean;
  readonly ticks: number;
  /** How many different values the step can give: with few, different inputs converge. */
  readonly values: number;
  readonly ignoreCache: boolean;
}

interface Build {
  readonly root: number;
  readonly startAfter: number;
  readonly cancelAfter: number | undefined;
  /** Seed of the sources' values, so that builds differ in their inputs. */
  readonly seed: number;
}

const steps: fc.Arbitrary<Step[]> = fc
  .array(
    fc.record({
      inputs: fc.array(fc.nat(), { maxLength: 3 }),
      content: fc.boolean(),
      fails: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
      ticks: fc.nat(3),
      values: fc.integer({ min: 1, max: 3 }),
      ignoreCache: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((all) => all.map((step, i) => ({ ...step, inputs: i === 0 ? [] : step.inputs.map((n) => n % i) })));

const builds: fc.Arbitrary<Build[]> = fc.array(
  fc.record({
    root: fc.nat(),
    startAfter: fc.nat(6),
    cancelAfter: fc.option(fc.nat(8), { nil: undefined }),
    seed: fc.nat(2),
  }),
  { minLength: 1, maxLength: 5 },
);

function valueOf(step: Step, inputs: readonly string[]): string {
  const n = Number.parseInt(digestOf(inputs.join()).slice(7, 15), 16) % step.values;
  return `${inputs.length}-${n}`;
}

/** The sequential evaluator: what each step must give, or undefined if it or something below it fails. */
function evaluate(all: readonly Step[], seed: number): (string | undefined)[] {
  const values: (string | undefined)[] = [];
  for (const step of all) {
    const inputs = step.inputs.map((i) => values[i]);
    const isComplete = !step.fails && inputs.every((input) => input !== undefined);
    const known = step.inputs.length === 0 ? [`seed ${seed}`] : inputs.filter((input) => input !== undefined);
    values.push(isComplete ? valueOf(step, known) : undefined);
  }
  return values;
}

async function ticks(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
}

function graphOf(f: SolverFixture, all: readonly Step[], seed: number): FakeVertex[] {
  const vertices: FakeVertex[] = [];
  all.forEach((step, i) => {
    const isSource = step.inputs.length === 0;
    vertices.push(
      f.vertex(isSource ? `${i} seed ${seed}` : String(i), {
        inputs: step.inputs.flatMap((n) => vertices[n]?.edge() ?? []),
        content: step.content ? step.inputs.map((_, n) => n) : [],
        ignoreCache: step.ignoreCache,
        value: (inputs) => valueOf(step, isSource ? [`seed ${seed}`] : inputs),
        work: async ({ signal }) => {
          await ticks(step.ticks);
          signal.throwIfAborted();
          if (step.fails) throw new BuildError("unknown", `step ${i} fails`);
        },
      }),
    );
  });
  return vertices;
}

async function run(
  f: SolverFixture,
  all: readonly Step[],
  build: Build & { readonly maxExecs: number },
): Promise<void> {
  const root = build.root % all.length;
  const graph = graphOf(f, all, build.seed);
  await ticks(build.startAfter);
  const controller = new AbortController();
  const canceled = new BuildError("canceled", "canceled by the test");
  const { cancelAfter } = build;
  const cancellation =
    cancelAfter === undefined ? undefined : ticks(cancelAfter).then(() => controller.abort(canceled));
  await using job = f.job();
  const wanted = evaluate(all, build.seed)[root];
  try {
    await using result = await job.build(graph[root]?.edge() ?? assert.fail(), { signal: controller.signal });
    assert.equal(result.value, wanted);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    if (error === canceled) assert.ok(controller.signal.aborted);
    else assert.ok(wanted === undefined, `failed with ${String(error)}`);
  }
  await cancellation;
  for (const vertex of graph) {
    assert.ok(vertex.execs <= build.maxExecs, `${vertex.name} was executed ${vertex.execs} times`);
  }
}

/** A step may be begun again by a build that comes after it was canceled or has failed for the others. */
function attempts(all: readonly Build[]): number {
  return all.length;
}

suite("the solver against a sequential evaluator", () => {
  test(`gives the same values over ${numRuns} random graphs, builds, failures and cancellations`, async () => {
    await fc.assert(
      fc.asyncProperty(steps, builds, fc.boolean(), async (all, some, lose) => {
        const f = new SolverFixture();
        await Promise.all(some.map(async (build) => await run(f, all, { ...build, maxExecs: attempts(some) })));
        assert.equal(f.results.holds.count, 0);
        if (lose) f.results.loseAll();
        // Once more, one after the other, with what is cached now.
        for (const build of some) await run(f, all, { ...build, cancelAfter: undefined, startAfter: 0, maxExecs: 1 });
        assert.equal(f.results.holds.count, 0);
        assert.deepEqual(f.reports, []);
      }),
      { numRuns },
    );
  });

  test("executes nothing twice that is cached, without failures and cancellations", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (random) => {
        const all = random.map((step) => ({ ...step, fails: false, ignoreCache: false }));
        const f = new SolverFixture();
        await f.build(graphOf(f, all, 0).at(-1)?.edge() ?? assert.fail());
        const again = graphOf(f, all, 0);
        await f.build(again.at(-1)?.edge() ?? assert.fail());
        assert.equal(
          again.reduce((sum, vertex) => sum + vertex.execs, 0),
          0,
        );
      }),
      { numRuns },
    );
  });
});
