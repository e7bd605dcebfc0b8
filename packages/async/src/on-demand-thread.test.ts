import assert from "node:assert/strict";
import { test } from "node:test";
import { OnDemandThread, threadFailed } from "./on-demand-thread.ts";

test("an OnDemandThread whose program cannot be read fails its tasks, and says why", async () => {
  const url = new URL("./testing/no-such.worker.ts", import.meta.url).href;
  const { promise, resolve } = Promise.withResolvers<[tasks: readonly string[], cause: unknown]>();
  const thread = new OnDemandThread<unknown, unknown, string>({
    url,
    idleMs: 1000,
    onMessage: () => assert.fail("it cannot say anything"),
    onLost: (tasks, cause) => resolve([tasks, cause]),
  });
  const id = thread.begin("one");
  const [tasks, cause] = await promise;
  assert.deepEqual(tasks, ["one"]);
  assert.equal(thread.find(id), undefined);
  const failure = threadFailed("Cannot do it", cause);
  assert.equal(failure.code, "internal");
  assert.match(failure.message, /^Cannot do it: the thread failed: .*no-such\.worker\.ts/);
});

test("a thread that cannot start for want of files fails its tasks with what to do about it", () => {
  const failure = threadFailed(
    "Cannot do it",
    new Error("Cannot read package config /x/package.json: too many open files."),
  );
  assert.equal(failure.code, "resource_exhausted");
  assert.match(failure.hint ?? "", /ulimit -n/);
});
