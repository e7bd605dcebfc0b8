import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { FakeVertex } from "./testing/fake-vertex.ts";
import { eventsOf, lastOf, SolverFixture } from "./testing/solver-fixture.ts";

const signal = new AbortController().signal;

suite("progress", () => {
  test("marks what was loaded and what was not needed as cached", async () => {
    const f = new SolverFixture();
    const graph = (): { a: FakeVertex; b: FakeVertex; c: FakeVertex } => {
      const a = f.vertex("a");
      const b = f.vertex("b", { inputs: [a.edge()] });
      return { a, b, c: f.vertex("c", { inputs: [b.edge()] }) };
    };
    await f.build(graph().c.edge());
    const { a, b, c } = graph();
    const job = f.job();
    await using _result = await job.build(c.edge(), { signal });
    await job[Symbol.asyncDispose]();
    const events = await eventsOf(job);
    for (const vertex of [b, c]) {
      const last = lastOf(events, vertex.digest);
      assert.deepEqual([last?.cached, typeof last?.startedAt, typeof last?.completedAt], [true, "number", "number"]);
    }
    assert.deepEqual(lastOf(events, c.digest)?.inputs, [b.digest]);
    assert.equal(lastOf(events, a.digest)?.completedAt !== undefined, true);
  });

  test("replays a vertex's log to a job that comes late", async () => {
    const f = new SolverFixture();
    const started = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const a = f.vertex("a", {
      work: async ({ progress }) => {
        progress.log(1, Buffer.from("early"));
        progress.status({ id: "s", started: 1, current: 5 });
        progress.vertex("sub").complete();
        started.resolve();
        await gate.promise;
        progress.log(2, Buffer.from("late"));
      },
    });
    await using one = f.job();
    const first = one.build(a.edge(), { signal });
    await started.promise;
    const two = f.job();
    const second = two.build(a.edge(), { signal });
    gate.resolve();
    for (const result of await Promise.all([first, second])) await result[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    const events = await eventsOf(two);
    const logs = events.flatMap((e) => (e.kind === "log" ? [Buffer.from(e.data).toString()] : []));
    assert.deepEqual(logs, ["early", "late"]);
    assert.ok(events.some((e) => e.kind === "status" && e.update.current === 5));
    assert.ok(events.some((e) => e.kind === "vertex" && e.vertex.name === "sub" && e.vertex.completedAt !== undefined));
  });

  test("shows work of the build itself as a vertex", async () => {
    const f = new SolverFixture();
    const job = f.job();
    job.addSession("s1");
    job.setValue("k", 7);
    const seen = await job.inVertex(
      "exporting",
      (context) => Promise.resolve([context.sessions(), context.values("k")]),
      { signal },
    );
    assert.deepEqual(seen, [["s1"], [7]]);
    await job[Symbol.asyncDispose]();
    const [event] = (await eventsOf(job)).flatMap((e) => (e.kind === "vertex" ? [e.vertex] : []));
    assert.ok(event?.name === "exporting" && event.completedAt !== undefined);
  });
});

suite("getJob()", () => {
  test("waits for a job that comes soon, and fails for one that does not", async () => {
    const f = new SolverFixture();
    const soon = f.solver.getJob("soon", { signal });
    const job = f.solver.createJob("soon");
    assert.equal(await soon, job);
    await assert.rejects(f.solver.getJob("never", { signal, timeoutMs: 5 }), { code: "not_found" });
    assert.throws(() => f.solver.createJob("soon"), /job ID soon exists/);
    await job[Symbol.asyncDispose]();
  });
});

test("steps() gives what edges are built from, each vertex once, inputs first, with the ops that answered", async () => {
  const f = new SolverFixture();
  const base = f.vertex("base");
  const left = f.vertex("left", { inputs: [base.edge()] });
  const right = f.vertex("right", { inputs: [base.edge(), left.edge()] });
  await using job = f.job();
  await using _left = await job.build(left.edge(), { signal });
  await using _right = await job.build(right.edge(), { signal });
  const steps = [...job.steps([left.edge(), right.edge()])];
  assert.deepEqual(
    steps.map(({ vertex }) => vertex.name),
    ["base", "left", "right"],
  );
  assert.ok(steps.every(({ op }) => op !== undefined));
  await job[Symbol.asyncDispose]();
  assert.throws(() => [...job.steps([left.edge()])], { code: "canceled" });
});
