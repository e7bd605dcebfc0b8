import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FakeVertex } from "./testing/fake-vertex.ts";
import { SolverFixture } from "./testing/solver-fixture.ts";

const count = 10_000;

function deep(f: SolverFixture): FakeVertex {
  let top = f.vertex("0");
  for (let i = 1; i < count; i++) top = f.vertex(String(i), { inputs: [top.edge()] });
  return top;
}

function wide(f: SolverFixture): FakeVertex {
  const inputs = Array.from({ length: count }, (_, i) => f.vertex(String(i)).edge());
  return f.vertex("top", { inputs });
}

function diamonds(f: SolverFixture): FakeVertex {
  let top = f.vertex("0");
  for (let i = 1; i < count / 3; i++) {
    const left = f.vertex(`l${i}`, { inputs: [top.edge()], content: [0] });
    const right = f.vertex(`r${i}`, { inputs: [top.edge()] });
    top = f.vertex(String(i), { inputs: [left.edge(), right.edge()] });
  }
  return top;
}

/** Time on the processor: what else the machine does makes no difference. */
async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

suite(`a graph of ${count} vertices`, () => {
  for (const [name, make] of Object.entries({ deep, wide, diamonds })) {
    test(`is solved in little time when it is ${name}`, async (t) => {
      const f = new SolverFixture();
      const [cold, cached] = [make(f), make(f)];
      const coldMs = await milliseconds(() => f.build(cold.edge()));
      const cachedMs = await milliseconds(() => f.build(cached.edge()));
      t.diagnostic(`cold ${coldMs.toFixed(0)} ms, cached ${cachedMs.toFixed(0)} ms`);
      assert.equal(cached.execs, 0);
      assert.equal(f.results.holds.count, 0);
      // Far more than it takes, so that only growth with the square of the graph fails on a busy machine.
      assert.ok(coldMs < 10_000 && cachedMs < 10_000);
    });
  }

  test("is given up in little time when its build is canceled", async () => {
    const f = new SolverFixture();
    const started = Promise.withResolvers<void>();
    let top = f.vertex("0", {
      work: async ({ signal }) => {
        started.resolve();
        await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      },
    });
    for (let i = 1; i < count; i++) top = f.vertex(String(i), { inputs: [top.edge()] });
    const job = f.job();
    const build = job.build(top.edge(), { signal: new AbortController().signal });
    await started.promise;
    const disposed = job[Symbol.asyncDispose]();
    await assert.rejects(build, /context canceled/);
    await disposed;
    assert.equal(f.results.holds.count, 0);
  });
});
