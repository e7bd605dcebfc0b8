import assert from "node:assert/strict";
import { test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { WorkerCalls } from "./worker-calls.ts";

interface Request {
  readonly verb: "double" | "fail" | "errno" | "spin" | "exit";
  readonly value?: number;
}

function makeCalls(maxThreads = 1): WorkerCalls<Request, number> {
  return new WorkerCalls(new URL("./testing/calls.worker.ts", import.meta.url).href, { maxThreads, idleMs: 20 });
}

const { signal } = new AbortController();

test("call() answers in order of arrival with fewer threads than calls", async () => {
  await using calls = makeCalls();
  const answers = await Promise.all(
    [1, 2, 3].map(async (value) => await calls.call({ verb: "double", value }, { signal })),
  );
  assert.deepEqual(answers, [2, 4, 6]);
});

test("call() keeps codes and hints of errors", async () => {
  await using calls = makeCalls();
  await assert.rejects(
    calls.call({ verb: "fail" }, { signal }),
    (error) =>
      error instanceof BuildError && error.code === "not_found" && error.hint === "hint" && error.message === "text",
  );
  await assert.rejects(calls.call({ verb: "errno" }, { signal }), { code: "ENOENT" });
});

test("call() aborts synchronous work with the signal's reason", async () => {
  await using calls = makeCalls();
  const controller = new AbortController();
  const running = calls.call({ verb: "spin" }, { signal: controller.signal });
  const waiting = calls.call({ verb: "double", value: 1 }, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 20);
  await Promise.all([assert.rejects(running, /enough/), assert.rejects(waiting, /enough/)]);
  assert.equal(await calls.call({ verb: "double", value: 4 }, { signal }), 8);
});

test("call() fails when its thread ends, and the next one gets a new thread", async () => {
  await using calls = makeCalls();
  await assert.rejects(calls.call({ verb: "exit" }, { signal }), /worker thread ended/);
  assert.equal(await calls.call({ verb: "double", value: 4 }, { signal }), 8);
});
