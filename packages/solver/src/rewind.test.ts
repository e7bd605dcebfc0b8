import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { GraphSolver } from "./graph-solver.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { type FakeVertex, resolveFake } from "./testing/fake-vertex.ts";
import { eventsOf, SolverFixture } from "./testing/solver-fixture.ts";
import type { PrepareResult, Result } from "./types.ts";

const signal = new AbortController().signal;

/** Fails for results that are lost. */
function preparation(lost: ReadonlySet<string>, code: "not_found" | "unavailable" = "not_found"): PrepareResult {
  return async ({ value }: Result) => {
    await Promise.resolve();
    if (lost.has(String(value))) throw new BuildError(code, "blob is gone");
  };
}

suite("a lost result", () => {
  test("is built again inside the build, with one warning, and recorded anew", async () => {
    const f = new SolverFixture();
    const lost = new Set(["old"]);
    await f.build(f.vertex("a", { value: () => "old" }).edge());
    const a = f.vertex("a", { value: () => "new" });
    const b = f.vertex("b", { inputs: [a.edge()], prepare: preparation(lost), value: ([input]) => `b of ${input}` });
    const job = f.job();
    assert.equal(await valueOf(job.build(b.edge(), { signal })), "b of new");
    await job[Symbol.asyncDispose]();
    const warnings = (await eventsOf(job)).flatMap((event) => (event.kind === "warning" ? [event] : []));
    assert.deepEqual(
      warnings.map(({ vertex, warning }) => [vertex, warning.short]),
      [[a.digest, "Cannot use cached result: blob is gone"]],
    );
    const again = f.vertex("a", { value: () => assert.fail("is recorded") });
    assert.equal(await f.build(again.edge()), "new");
    assert.equal(f.results.holds.count, 0);
  });

  test("is built again for the build itself, when it is the root that cannot be used", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("a", { value: () => "old" }).edge());
    const a = f.vertex("a", { value: () => "new" });
    await using job = f.job();
    const prepare = preparation(new Set(["old"]));
    assert.equal(await valueOf(job.build(a.edge(), { signal, prepare })), "new");
    assert.equal(a.execs, 1);
  });

  test("is tried again by the next build, if whoever has it only did not answer", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("a", { value: () => "old" }).edge());
    {
      await using job = f.job();
      const a = f.vertex("a", { value: () => "new" });
      const prepare = preparation(new Set(["old"]), "unavailable");
      assert.equal(await valueOf(job.build(a.edge(), { signal, prepare })), "new");
    }
    f.results.loads = 0;
    await f.build(f.vertex("a", { value: () => assert.fail("two records are there") }).edge());
    assert.equal(f.results.loads, 1);
  });

  test("is rewound from what was executed upon it without having needed it", async () => {
    const f = new SolverFixture();
    for (const layer of ["x", "y"]) await f.build(f.vertex(layer, { value: () => `old ${layer}` }).edge());
    const layers = ["x", "y"].map((layer) => f.vertex(layer, { value: () => `new ${layer}` }));
    const merge = f.vertex("merge", { inputs: layers.map((layer) => layer.edge()), value: (inputs) => inputs.join() });
    await using job = f.job();
    const prepare = preparation(new Set(["old x,old y"]));
    assert.equal(await valueOf(job.build(merge.edge(), { signal, prepare })), "new x,new y");
    assert.equal(merge.execs, 2);
  });

  test("is the last that is asked of a store that keeps failing", async () => {
    const f = new SolverFixture();
    const remote = new MemoryCacheStore({ id: "remote", results: f.results });
    const other = new GraphSolver({ resolveOp: resolveFake, cache: remote, reporter: { report: assert.fail } });
    const chain = (cacheSources: readonly MemoryCacheStore[], prepare?: PrepareResult): FakeVertex[] => {
      const vertices = [f.vertex("0", { cacheSources })];
      for (let i = 1; i < 6; i++) {
        const inputs = [vertices.at(-1)?.edge() ?? assert.fail()];
        vertices.push(f.vertex(String(i), { cacheSources, inputs, ...(prepare !== undefined && { prepare }) }));
      }
      return vertices;
    };
    {
      await using job = other.createJob("x");
      await using _result = await job.build(chain([]).at(-1)?.edge() ?? assert.fail(), { signal });
    }
    f.results.loads = 0;
    let failures = 0;
    const prepare: PrepareResult = async (result) => {
      await Promise.resolve();
      if (!f.results.isLoaded(result)) return;
      failures += 1;
      throw new BuildError("unavailable", "nobody answers");
    };
    await using job = f.job();
    const last = chain([remote], prepare).at(-1)?.edge() ?? assert.fail();
    await using _result = await job.build(last, { signal, prepare });
    assert.deepEqual([failures, f.results.loads], [2, 2]);
  });

  test("fails the build when nothing was cached: there is no other way to it", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a", { value: () => "base" });
    const b = f.vertex("b", { inputs: [a.edge()], prepare: preparation(new Set(["base"])) });
    await assert.rejects(f.build(b.edge()), /blob is gone/);
    assert.deepEqual([a.execs, b.execs], [1, 0]);
    assert.equal(f.results.holds.count, 0);
  });

  test("is matched again by content: what the old one led to is not taken for the new one's", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("a", { value: () => "old" }).edge());
    const [digested, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const a = f.vertex("a", { value: () => "new" });
    const gate = f.vertex("gate", { work: async () => await released.promise });
    const step = (inputs: readonly FakeVertex[], prepare?: PrepareResult): FakeVertex =>
      f.vertex("step", {
        inputs: inputs.map((input) => input.edge()),
        content: [0, 1],
        value: ([input]) => `of ${input}`,
        ...(prepare !== undefined && { prepare }),
      });
    await using job = f.job();
    // Knows the content of the old result when another step meets the loss.
    const first = step([a, gate], async () => await Promise.resolve(digested.resolve()));
    const waiting = valueOf(job.build(first.edge(), { signal }));
    await digested.promise;
    const finder = f.vertex("finder", { inputs: [a.edge()], prepare: preparation(new Set(["old"])) });
    await valueOf(job.build(finder.edge(), { signal }));
    released.resolve();
    assert.equal(await waiting, "of new");
    const plainGate = (): FakeVertex => f.vertex("gate");
    assert.equal(await f.build(step([f.vertex("a old", { value: () => "old" }), plainGate()]).edge()), "of old");
    const same = step([f.vertex("a new", { value: () => "new" }), plainGate()]);
    assert.equal(await f.build(same.edge()), "of new");
    assert.equal(same.execs, 0);
  });
});

async function valueOf(built: Promise<Result>): Promise<unknown> {
  await using result = await built;
  return result.value;
}
