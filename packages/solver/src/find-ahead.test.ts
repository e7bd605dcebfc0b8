import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError, VertexError } from "@buildkit-ts/errdefs";
import { GraphSolver } from "./graph-solver.ts";
import type { FakeVertex } from "./testing/fake-vertex.ts";
import { SolverFixture } from "./testing/solver-fixture.ts";

const signal = new AbortController().signal;

/** A source of which it is not known at once what it is, and steps on it of which it is. */
function chain(f: SolverFixture): FakeVertex[] {
  const source = f.vertex("source");
  const computed = f.vertex("computed", { isComputed: true });
  const first = f.vertex("first", { isComputed: true, inputs: [computed.edge()] });
  const last = f.vertex("last", { isComputed: true, inputs: [source.edge(), first.edge()] });
  return [source, computed, first, last];
}

async function buildLast(f: SolverFixture): Promise<FakeVertex[]> {
  const vertices = chain(f);
  await f.build(vertices.at(-1)?.edge() ?? assert.fail());
  return vertices;
}

suite("steps whose keys are computed", () => {
  test("are asked for their keys once, and executed once", async () => {
    const f = new SolverFixture();
    const built = await buildLast(f);
    const found = await buildLast(f);
    assert.deepEqual(
      [...built, ...found].map(({ cacheMaps }) => cacheMaps),
      [1, 1, 1, 1, 1, 1, 1, 1],
    );
    assert.deepEqual(
      found.map(({ execs }) => execs),
      [0, 0, 0, 0],
    );
    assert.equal(f.results.loads, 1);
    assert.deepEqual(f.reports, []);
  });

  test("are executed again where the results of their records are gone", async () => {
    const f = new SolverFixture();
    await buildLast(f);
    f.results.loseAll();
    f.results.hidden.clear();
    assert.deepEqual(
      (await buildLast(f)).map(({ execs }) => execs),
      [1, 1, 1, 1],
    );
    assert.equal(f.results.holds.count, 0);
  });

  test("fail the build with what they could not compute", async () => {
    const f = new SolverFixture();
    const broken = f.vertex("broken", { isComputed: true });
    await using solver = new GraphSolver({
      resolveOp: () => ({
        isComputed: true,
        cacheMap: () => {
          throw new BuildError("invalid_argument", "no such action");
        },
        exec: async () => await Promise.resolve([]),
      }),
      cache: f.cache,
      reporter: { report: assert.fail },
    });
    await using job = solver.createJob("job");
    await assert.rejects(
      job.build(broken.edge(), { signal }),
      (error) => error instanceof VertexError && error.message.includes("failed to load cache key: no such action"),
    );
  });
});
