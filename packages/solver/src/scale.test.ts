import assert from "node:assert/strict";
import { once } from "node:events";
import { suite, test } from "node:test";
import { Worker } from "node:worker_threads";
import type { LargeGraphReport } from "./testing/large-graph-worker.ts";
import { SolverFixture } from "./testing/solver-fixture.ts";

const count = 10_000;

/** In a thread of its own: the test runner follows every promise, which makes them several times slower. */
async function measure(kind: string): Promise<LargeGraphReport> {
  const worker = new Worker(new URL("./testing/large-graph-worker.ts", import.meta.url), {
    workerData: { kind, count },
  });
  const [report] = (await once(worker, "message")) as [LargeGraphReport];
  await worker.terminate();
  return report;
}

suite(`a graph of ${count} vertices`, () => {
  for (const kind of ["deep", "wide", "diamonds"]) {
    test(`is solved in little time when it is ${kind}`, async (t) => {
      const { coldMs, cachedMs, cachedExecs, heldResults } = await measure(kind);
      t.diagnostic(`cold ${coldMs.toFixed(0)} ms, cached ${cachedMs.toFixed(0)} ms`);
      assert.deepEqual([cachedExecs, heldResults], [0, 0]);
      // Far more than it takes, so that only growth with the square of the graph fails on a busy machine.
      assert.ok(coldMs < 30_000 && cachedMs < 30_000);
    });
  }

  test("is given up when its build is canceled", async () => {
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
