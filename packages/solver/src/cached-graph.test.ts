import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { GraphSolver } from "./graph-solver.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { FakeResults } from "./testing/fake-results.ts";
import { FakeVertex, resolveFake } from "./testing/fake-vertex.ts";
import { SolverFixture } from "./testing/solver-fixture.ts";

const signal = new AbortController().signal;

suite("a cached graph", () => {
  test("loads only the root: no input is executed or loaded", async () => {
    const f = new SolverFixture();
    const graph = (): FakeVertex[] => {
      const a = f.vertex("a");
      const b = f.vertex("b", { inputs: [a.edge()] });
      const c = f.vertex("c", { inputs: [a.edge(), b.edge()] });
      return [a, b, c];
    };
    const first = graph();
    const value = await f.build(first[2]?.edge() ?? assert.fail());
    assert.deepEqual(
      first.map((v) => v.execs),
      [1, 1, 1],
    );
    const second = graph();
    assert.equal(await f.build(second[2]?.edge() ?? assert.fail()), value);
    assert.deepEqual(
      second.map((v) => v.execs),
      [0, 0, 0],
    );
    assert.equal(f.results.loads, 1);
    assert.equal(f.results.holds.count, 0);
  });

  test("gives what was made last, also where the clock was set back before", async () => {
    const results = new FakeResults();
    let now = 1000;
    const solver = new GraphSolver({
      resolveOp: resolveFake,
      cache: new MemoryCacheStore({ id: "local", results }),
      reporter: { report: assert.fail },
      clock: { ...systemClock, now: () => now },
    });
    const build = async (value: string, ignoreCache = false): Promise<string> => {
      await using job = solver.createJob(`${value} ${now}`);
      const vertex = new FakeVertex("a", results, { value: () => value, ignoreCache });
      await using result = await job.build(vertex.edge(), { signal });
      return String(result.value);
    };
    assert.equal(await build("old"), "old");
    now = 500;
    assert.equal(await build("new", true), "new");
    assert.equal(await build("none"), "new");
    now = 400;
    assert.equal(await build("newest", true), "newest");
    assert.equal(await build("none"), "newest");
  });

  test("is found by content when definitions differ, and from then on by definition", async () => {
    const f = new SolverFixture();
    const graph = (base: string): FakeVertex[] => {
      const a = f.vertex(base, { value: () => "same" });
      const b = f.vertex("b", { inputs: [a.edge()], content: [0] });
      return [a, b];
    };
    const [, b1] = graph("a1");
    await f.build(b1?.edge() ?? assert.fail());
    const [a2, b2] = graph("a2");
    await f.build(b2?.edge() ?? assert.fail());
    assert.deepEqual([a2?.execs, b2?.execs], [1, 0]);
    f.results.loads = 0;
    const [a3, b3] = graph("a2");
    await f.build(b3?.edge() ?? assert.fail());
    assert.deepEqual([a3?.execs, b3?.execs, b3?.digests], [0, 0, 0]);
    assert.equal(f.results.loads, 1);
  });

  test("loads a cached input only for its content key", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("a").edge());
    await f.build(f.vertex("b", { inputs: [f.vertex("a").edge()], content: [0] }).edge());
    const a = f.vertex("a");
    const other = f.vertex("other", { inputs: [a.edge()], content: [0] });
    await f.build(other.edge());
    assert.deepEqual([a.execs, other.execs, other.digests], [0, 1, 1]);
  });

  test("does not look into content where another input leads nowhere", async () => {
    const f = new SolverFixture();
    const order: string[] = [];
    const a = f.vertex("a", { work: () => Promise.resolve(void order.push("a")) });
    const b = f.vertex("b", { work: () => Promise.resolve(void order.push("b")) });
    const c = f.vertex("c", { inputs: [a.edge(), b.edge()], content: [1] });
    await f.build(c.edge());
    assert.deepEqual([c.execs, c.digests], [1, 1]);
    assert.deepEqual(order.toSorted(), ["a", "b"]);
  });
});

suite("a record", () => {
  test("uses later keys of a source if the first has no result", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("s1", { cacheKey: ["old", "exact"] }).edge());
    const s = f.vertex("s2", { cacheKey: ["new", "exact"] });
    await f.build(s.edge());
    assert.deepEqual([s.execs, s.cacheMaps], [0, 2]);
    const again = f.vertex("s3", { cacheKey: ["old", "exact"] });
    await f.build(again.edge());
    assert.deepEqual([again.execs, again.cacheMaps], [0, 1]);
  });

  test("executes in the same build what cannot be loaded", async () => {
    const f = new SolverFixture();
    const graph = (): FakeVertex[] => {
      const a = f.vertex("a");
      return [a, f.vertex("b", { inputs: [a.edge()] })];
    };
    await f.build(graph()[1]?.edge() ?? assert.fail());
    f.results.loseAll();
    const [a, b] = graph();
    await f.build(b?.edge() ?? assert.fail());
    assert.deepEqual([a?.execs, b?.execs], [1, 1]);
    assert.equal(f.results.holds.count, 0);
  });

  test("builds an input again whose content is gone only when it is used", async () => {
    const f = new SolverFixture();
    await f.build(f.vertex("a").edge());
    let lost = true;
    const prepare = (): Promise<void> => {
      if (!lost) return Promise.resolve();
      lost = false;
      return Promise.reject(new BuildError("not_found", "blob is gone"));
    };
    const a = f.vertex("a");
    const b = f.vertex("b", { inputs: [a.edge()], prepare });
    await f.build(b.edge());
    assert.deepEqual([a.execs, b.execs], [1, 1]);
  });
});

suite("keys", () => {
  test("takes results from an imported cache and keeps them in the local one", async () => {
    const f = new SolverFixture();
    const remote = new MemoryCacheStore({ id: "remote", results: f.results });
    const other = new GraphSolver({ resolveOp: resolveFake, cache: remote, reporter: { report: assert.fail } });
    const graph = (cacheSources = [remote]): FakeVertex[] => {
      const a = f.vertex("a", { cacheSources });
      const b = f.vertex("b", { inputs: [a.edge()], cacheSources });
      return [a, b];
    };
    {
      await using job = other.createJob("x");
      await using _r = await job.build(graph([])[1]?.edge() ?? assert.fail(), { signal });
    }
    const [a, b] = graph();
    await f.build(b?.edge() ?? assert.fail());
    assert.deepEqual([a?.execs, b?.execs], [0, 0]);
    const [a2, b2] = graph([]);
    await f.build(b2?.edge() ?? assert.fail());
    assert.deepEqual([a2?.execs, b2?.execs], [0, 0]);
  });

  test("distinguishes selectors and outputs", async () => {
    const f = new SolverFixture();
    const a = (): FakeVertex => f.vertex("a", { outputs: 2 });
    const first = f.vertex("b", { inputs: [a().edge(0)], selectors: ["x"] });
    await f.build(first.edge());
    const selector = f.vertex("b", { inputs: [a().edge(0)], selectors: ["y"] });
    const output = f.vertex("b", { inputs: [a().edge(1)], selectors: ["x"] });
    await f.build(selector.edge());
    await f.build(output.edge());
    assert.deepEqual([selector.execs, output.execs], [1, 1]);
  });

  test("never finds what only a random source leads to", async () => {
    const f = new SolverFixture();
    const graph = (id: string): FakeVertex => {
      const local = f.vertex("local", { rawDigest: `random:${id}` as Digest });
      return f.vertex("b", { inputs: [local.edge()] });
    };
    await f.build(graph("one").edge());
    const b = graph("one");
    await f.build(b.edge());
    assert.equal(b.execs, 1);
  });
});

suite("ignoreCache", () => {
  test("executes again, and steps upon it are found by content only", async () => {
    const f = new SolverFixture();
    const graph = (ignoreCache: boolean): FakeVertex[] => {
      const a = f.vertex("a", { ignoreCache, value: () => "same" });
      const byDefinition = f.vertex("b", { inputs: [a.edge()] });
      const byContent = f.vertex("c", { inputs: [a.edge()], content: [0] });
      return [a, byDefinition, byContent, f.vertex("d", { inputs: [byDefinition.edge(), byContent.edge()] })];
    };
    await f.build(graph(false)[3]?.edge() ?? assert.fail());
    const again = graph(true);
    await f.build(again[3]?.edge() ?? assert.fail());
    assert.deepEqual(
      again.map((v) => v.execs),
      [1, 1, 0, 1],
    );
    const third = graph(false);
    await f.build(third[3]?.edge() ?? assert.fail());
    assert.deepEqual(
      third.map((v) => v.execs),
      [0, 0, 0, 0],
    );
  });

  test("shares nothing with another job", async () => {
    const f = new SolverFixture();
    const gate = Promise.withResolvers<void>();
    const work = async (): Promise<void> => await gate.promise;
    const ignoring = f.vertex("a", { ignoreCache: true, work });
    const plain = f.vertex("a", { work });
    const builds = [f.build(ignoring.edge()), f.build(plain.edge()), f.build(f.vertex("a", { work }).edge())];
    await new Promise((resolve) => setTimeout(resolve, 5));
    gate.resolve();
    await Promise.all(builds);
    assert.deepEqual([ignoring.execs, plain.execs], [1, 1]);
  });
});
