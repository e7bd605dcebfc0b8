import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError, VertexError } from "@buildkit-ts/errdefs";
import type { FakeVertex } from "./testing/fake-vertex.ts";
import { eventsOf, lastOf, SolverFixture } from "./testing/solver-fixture.ts";

const signal = new AbortController().signal;

suite("shared work", () => {
  test("is done once for any number of jobs and paths", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a");
    const b = f.vertex("b", { inputs: [a.edge()] });
    const c = f.vertex("c", { inputs: [a.edge()] });
    const d = f.vertex("d", { inputs: [b.edge(), c.edge()] });
    await Promise.all([f.build(d.edge()), f.build(d.edge()), f.build(b.edge())]);
    assert.deepEqual([a.execs, b.execs, c.execs, d.execs], [1, 1, 1, 1]);
    assert.equal(f.results.holds.count, 0);
  });

  test("is done once for vertices that differ only in their definition", async () => {
    const f = new SolverFixture();
    const gate = Promise.withResolvers<void>();
    const graph = (name: string): FakeVertex => {
      const a = f.vertex(`base ${name}`, { value: () => "same" });
      const work = async (context: { progress: { log(stream: 1, data: Uint8Array): void } }): Promise<void> => {
        context.progress.log(1, Buffer.from("hello"));
        await gate.promise;
      };
      return f.vertex(`step ${name}`, { cacheKey: "step", inputs: [a.edge()], content: [0], work });
    };
    const [one, two] = [graph("1"), graph("2")];
    await using jobOne = f.job();
    await using jobTwo = f.job();
    const builds = [jobOne.build(one.edge(), { signal }), jobTwo.build(two.edge(), { signal })];
    await new Promise((resolve) => setTimeout(resolve, 5));
    gate.resolve();
    const results = await Promise.all(builds);
    assert.equal(one.execs + two.execs, 1);
    for (const result of results) await result[Symbol.asyncDispose]();
    await jobTwo[Symbol.asyncDispose]();
    const logs = (await eventsOf(jobTwo)).filter((e) => e.kind === "log" && e.vertex === two.digest);
    assert.equal(logs.length, 1);
    assert.equal(lastOf(await eventsOf(jobTwo), two.digest)?.error, undefined);
  });
});

suite("waiters", () => {
  test("goes on when one of two waiters leaves, and is aborted when the last one does", async () => {
    const f = new SolverFixture();
    const started = Promise.withResolvers<void>();
    let aborted = false;
    const a = f.vertex("a", {
      work: async (context) => {
        started.resolve();
        await new Promise<void>((_resolve, reject) => {
          context.signal.addEventListener("abort", () => {
            aborted = true;
            reject(context.signal.reason as Error);
          });
        });
      },
    });
    const top = f.vertex("top", { inputs: [a.edge()] });
    await using jobOne = f.job();
    await using jobTwo = f.job();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = jobOne.build(top.edge(), { signal: one.signal });
    const second = jobTwo.build(top.edge(), { signal: two.signal });
    await started.promise;
    one.abort(new BuildError("canceled", "one left"));
    await assert.rejects(first, /one left/);
    assert.equal(aborted, false);
    two.abort(new BuildError("canceled", "two left"));
    await assert.rejects(second, /two left/);
    await jobOne[Symbol.asyncDispose]();
    await jobTwo[Symbol.asyncDispose]();
    assert.equal(aborted, true);
    assert.equal(lastOf(await eventsOf(jobTwo), a.digest)?.error, "context canceled");
    assert.equal(f.results.holds.count, 0);
  });

  test("gives all outputs of one execution", async () => {
    const f = new SolverFixture();
    const a = f.vertex("a", { outputs: 3 });
    await using job = f.job();
    const values = await Promise.all(
      [0, 1, 2].map(async (i) => {
        await using result = await job.build(a.edge(i), { signal });
        return result.value;
      }),
    );
    assert.equal(new Set(values).size, 3);
    assert.equal(a.execs, 1);
    await assert.rejects(job.build(a.edge(3), { signal }), /need 3 index but 3 results received/);
  });

  test("gives up all outputs of an execution that ends when nobody wants it any more", async () => {
    const f = new SolverFixture();
    const [started, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const work = async (): Promise<void> => {
      started.resolve();
      await ended.promise;
    };
    const a = f.vertex("a", { outputs: 3, ignoreCache: true, work });
    const job = f.job();
    const leaving = new AbortController();
    const built = job.build(a.edge(), { signal: leaving.signal });
    await started.promise;
    leaving.abort(new BuildError("canceled", "left"));
    await assert.rejects(built, /left/);
    const released = job[Symbol.asyncDispose]();
    ended.resolve();
    await released;
    assert.equal(f.results.holds.count, 0);
  });
});

suite("a failure", () => {
  test("names its vertex, stops what depends on it and aborts the rest", async () => {
    const f = new SolverFixture();
    let aborted = false;
    const bad = f.vertex("bad", { work: () => Promise.reject(new BuildError("unknown", "exit code: 1")) });
    const slow = f.vertex("slow", {
      work: async (context) =>
        await new Promise((_resolve, reject) => {
          context.signal.addEventListener("abort", () => {
            aborted = true;
            reject(context.signal.reason as Error);
          });
        }),
    });
    const top = f.vertex("top", { inputs: [bad.edge(), slow.edge()] });
    const job = f.job();
    await assert.rejects(job.build(top.edge(), { signal }), (error: unknown) => {
      assert.ok(error instanceof VertexError);
      assert.equal(error.vertex, bad.digest);
      assert.equal(error.message, "exit code: 1");
      return true;
    });
    await assert.rejects(job.build(f.vertex("top2", { inputs: [bad.edge()] }).edge(), { signal }), /exit code: 1/);
    assert.deepEqual([bad.execs, top.execs], [1, 0]);
    await job[Symbol.asyncDispose]();
    assert.equal(aborted, true);
    const events = await eventsOf(job);
    assert.equal(lastOf(events, bad.digest)?.error, "exit code: 1");
    assert.equal(lastOf(events, slow.digest)?.error, "context canceled");
    assert.equal(lastOf(events, top.digest)?.startedAt, undefined);
  });

  test("is not inherited by a job that comes later", async () => {
    const f = new SolverFixture();
    let fail = true;
    const a = f.vertex("a", { work: () => (fail ? Promise.reject(new Error("flaky")) : Promise.resolve()) });
    await using first = f.job();
    await assert.rejects(first.build(a.edge(), { signal }), /flaky/);
    fail = false;
    await f.build(a.edge());
    assert.equal(a.execs, 2);
  });
});
