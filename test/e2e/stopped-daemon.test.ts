import assert from "node:assert/strict";
import { test } from "node:test";
import { BuildkitClient } from "@buildkit-ts/client";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { solveDockerfile } from "./support/solve.ts";

test("a daemon that is told to stop at once stores the records of the builds that it ends", async () => {
  using folder = temporaryFolder("stopped-daemon");
  await using daemon = await TestDaemon.start(folder.path);
  const context = await busyboxContext(folder.path, `${shellStage}RUN echo begun; sleep 1000\n`);
  const begun = Promise.withResolvers<void>();
  const building = solveDockerfile(daemon, context, {
    onProgress: ({ logs }) => {
      if (logs.includes("begun")) begun.resolve();
    },
  });
  await Promise.race([begun.promise, building.then(({ error }) => assert.fail(`it ended before: ${String(error)}`))]);
  // Another signal than the one that follows: two of one kind may come as one.
  process.kill(daemon.pid, "SIGINT");
  await daemon.stop();
  assert.notEqual((await building).error, undefined);
  await daemon.start();
  const signal = AbortSignal.timeout(60_000);
  await using client = await BuildkitClient.connect(daemon.address, { signal });
  const events = await Array.fromAsync(client.buildHistory({ EarlyExit: true }, { signal }));
  const [record] = events.map((event) => event.record);
  assert.ok(record?.CompletedAt !== undefined && record.error !== undefined);
  assert.notEqual(record.trace, undefined);
});
