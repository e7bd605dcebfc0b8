import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { GraphSolver } from "./graph-solver.ts";
import { type FakeVertex, resolveFake } from "./testing/fake-vertex.ts";
import { eventsOf, SolverFixture } from "./testing/solver-fixture.ts";
import type { Job, PrepareResult, Result } from "./types.ts";

const signal = new AbortController().signal;

async function valueOf(built: Promise<Result>): Promise<unknown> {
  await using result = await built;
  return result.value;
}

/** A step that loses what it is given while it runs, the first so many times. */
function losing(f: SolverFixture, inputs: readonly FakeVertex[], times: number): FakeVertex {
  let left = times;
  return f.vertex("step", {
    inputs: inputs.map((input) => input.edge()),
    value: (values) => `of ${values.join()}`,
    work: async (_context, [first]) => {
      await Promise.resolve();
      left -= 1;
      if (left >= 0 && first !== undefined) f.results.lose(first.id);
    },
  });
}

async function warningsOf(job: Job): Promise<[string, string][]> {
  await job[Symbol.asyncDispose]();
  return (await eventsOf(job)).flatMap((event) =>
    event.kind === "warning" ? [[event.vertex, event.warning.short]] : [],
  );
}

suite("an input that is lost while its step runs", () => {
  test("is loaded no more but executed again, and the step with it, inside the build", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("a", { value: () => "old" }).edge());
    const a = f.vertex("a", { value: () => "new" });
    const step = losing(f, [a], 1);
    const job = f.job();
    assert.equal(await valueOf(job.build(step.edge(), { signal })), "of new");
    assert.deepEqual([a.execs, step.execs], [1, 2]);
    assert.deepEqual(await warningsOf(job), [[a.digest, 'Cannot use cached result: the content of "r0" is gone']]);
    const again = f.vertex("a", { value: () => assert.fail("is recorded") });
    assert.equal(await f.build(again.edge()), "new");
    assert.equal(f.results.holds.count, 0);
  });

  test("and that this build has made is made once more, although nothing was cached", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a");
    const step = losing(f, [a], 1);
    const job = f.job();
    await valueOf(job.build(step.edge(), { signal }));
    assert.deepEqual([a.execs, step.execs], [2, 2]);
    assert.deepEqual(await warningsOf(job), [[a.digest, 'Cannot use result: the content of "r0" is gone']]);
    assert.deepEqual([f.results.holds.count, f.results.holds.freedTwice], [0, 0]);
  });

  test("shows no failure of the step in its progress", async () => {
    const f = new SolverFixture();
    const step = losing(f, [f.vertex("a")], 1);
    const job = f.job();
    await valueOf(job.build(step.edge(), { signal }));
    await job[Symbol.asyncDispose]();
    const errors = (await eventsOf(job)).flatMap((event) =>
      event.kind === "vertex" ? (event.vertex.error ?? []) : [],
    );
    assert.deepEqual(errors, []);
  });

  test("leaves alone what does not rest on it", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("other", { value: () => "kept" }).edge());
    const other = f.vertex("other", { value: () => assert.fail("is cached, and whole") });
    const [a, b] = [f.vertex("a"), f.vertex("b", { inputs: [other.edge()] })];
    const step = losing(f, [a, b], 1);
    await f.build(step.edge());
    assert.deepEqual([a.execs, b.execs, step.execs], [2, 1, 2]);
  });

  test("is rewound down to what was taken away, through all that was made of it", async () => {
    const f = new SolverFixture();
    const base = f.vertex("base");
    const middle = f.vertex("middle", { inputs: [base.edge()] });
    let isLost = false;
    const step = f.vertex("step", {
      inputs: [middle.edge()],
      work: async (_context, [used]) => {
        await Promise.resolve();
        if (isLost || used === undefined) return;
        isLost = true;
        for (const id of f.results.foundationsOf(used.id)) if (id !== used.id) f.results.lose(id);
      },
    });
    await f.build(step.edge());
    assert.deepEqual([base.execs, middle.execs, step.execs], [2, 2, 2]);
  });

  test("and is lost each time fails the build, which names it", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a");
    const step = losing(f, [a], Number.POSITIVE_INFINITY);
    await assert.rejects(f.build(step.edge()), /Cannot use "a" for "step": the content of "r\d+" is gone/);
    assert.deepEqual([a.execs, step.execs], [4, 4]);
    assert.equal(f.results.holds.count, 0);
  });

  test("and comes back as the very same result ends at once", async () => {
    const f = new SolverFixture();
    const same = f.results.create("same");
    const step = f.vertex("step", {
      inputs: [f.vertex("a").edge()],
      work: async (_context, [used]) => {
        await Promise.resolve();
        if (used !== undefined) f.results.lose(used.id);
      },
    });
    const source = step.inputs[0]?.vertex as FakeVertex;
    source.exec = async () => {
      source.execs += 1;
      return await Promise.resolve([same.clone()]);
    };
    await assert.rejects(f.build(step.edge()), /Cannot use "a" for "step": the content of "r0" is gone/);
    await same[Symbol.asyncDispose]();
    assert.deepEqual([source.execs, step.execs], [2, 2]);
    assert.equal(f.results.holds.count, 0);
  });

  test("is made once more for all builds that were waiting for it", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a");
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const waiting = gates.map((gate, i) =>
      f.vertex(`step ${i}`, { inputs: [a.edge()], work: async () => await gate.promise }),
    );
    const builds = waiting.map(async (step) => await f.build(step.edge()));
    while (waiting.some((step) => step.execs === 0)) await new Promise(setImmediate);
    f.results.lose("r0");
    for (const gate of gates) gate.resolve();
    await Promise.all(builds);
    assert.deepEqual([a.execs, ...waiting.map((step) => step.execs)], [2, 2, 2]);
    assert.equal(f.results.holds.count, 0);
  });

  test("is no matter of a step that only waited for an equal one with an input of its own", async () => {
    const f = new SolverFixture();
    const inputs = ["a", "b"].map((name) => f.vertex(name, { value: () => "equal" }));
    const released = Promise.withResolvers<void>();
    let isLost = false;
    const steps = inputs.map((input, i) =>
      f.vertex(`step ${i}`, {
        inputs: [input.edge()],
        cacheKey: "step",
        content: [0],
        work: async (_context, [used]) => {
          await released.promise;
          if (!isLost && used !== undefined) f.results.lose(used.id);
          isLost = true;
        },
      }),
    );
    const builds = steps.map(async (step) => await f.build(step.edge()));
    while (inputs.some((input) => input.execs === 0) || steps.every((step) => step.execs === 0))
      await new Promise(setImmediate);
    released.resolve();
    await Promise.all(builds);
    assert.equal(
      inputs.reduce((sum, { execs }) => sum + execs, 0),
      3,
    );
    assert.equal(f.results.holds.count, 0);
  });

  test("is not taken from an equal step that still records the same result", async () => {
    const f = new SolverFixture();
    const recording = Promise.withResolvers<void>();
    const { cache } = f;
    const save = cache.save.bind(cache);
    let saves = 0;
    cache.save = async (...args) => {
      saves += 1;
      if (saves === 1) await recording.promise;
      return await save(...args);
    };
    const a = f.vertex("a", { cacheKey: "equal" });
    const equal = f.vertex("b", { cacheKey: "equal" });
    const other = f.build(equal.edge());
    while (saves === 0) await new Promise(setImmediate);
    const step = losing(f, [a], 1);
    await f.build(step.edge());
    recording.resolve();
    await other;
    assert.deepEqual([equal.execs, a.execs, step.execs], [1, 1, 2]);
    assert.deepEqual([f.results.holds.count, f.results.holds.freedTwice], [0, 0]);
  });

  test("of a source that would only give the same again is not asked for twice", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a");
    const missing = Object.assign(new Error("nobody answers"), { affects: () => true, isKept: () => true });
    const solver = new GraphSolver({
      resolveOp: resolveFake,
      cache: f.cache,
      reporter: { report: assert.fail },
      lossOf: (error) => (error === missing ? missing : undefined),
    });
    const prepare: PrepareResult = async () => await Promise.reject(missing);
    const step = f.vertex("step", { inputs: [a.edge()], prepare });
    await using job = solver.createJob("x");
    await assert.rejects(job.build(step.edge(), { signal }), /nobody answers/);
    assert.deepEqual([a.execs, step.execs], [1, 0]);
  });
});
