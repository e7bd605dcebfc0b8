import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { solveDockerfile, solveOk } from "./support/solve.ts";

suite("builds side by side", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("concurrency"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const countingStep = (id: string, work: string): string =>
    `${shellStage}RUN --mount=type=cache,id=${id},target=/count echo ran >> /count/log && ${work}\n`;
  const count = async (id: string): Promise<number> => {
    const text = `${shellStage}RUN --mount=type=cache,id=${id},target=/count echo ${id} lines=$(grep -c ran /count/log)\n`;
    const { logs } = await solveOk(daemon, await busyboxContext(folder.path, text));
    return Number(/lines=(\d+)/.exec(logs)?.[1]);
  };

  test("that are alike execute a step once, and all see its output", async () => {
    const context = await busyboxContext(
      folder.path,
      countingStep("alike", "sleep 1 && echo nonce=$(cat /proc/sys/kernel/random/uuid)"),
    );
    const results = await Promise.all(Array.from({ length: 10 }, async () => await solveOk(daemon, context)));
    const nonces = new Set(results.map(({ logs }) => /nonce=(\S+)/.exec(logs)?.[1]));
    assert.equal(nonces.size, 1);
    assert.notEqual([...nonces][0], undefined);
    assert.equal(await count("alike"), 1);
  });

  test("go on when another that waits for the same step is canceled", async () => {
    const context = await busyboxContext(folder.path, countingStep("left", "echo begun && sleep 3 && echo ended"));
    const leaving = new AbortController();
    const begun = Promise.withResolvers<void>();
    const first = solveDockerfile(daemon, context, {
      signal: leaving.signal,
      onProgress: ({ logs }) => {
        if (logs.includes("begun")) begun.resolve();
      },
    });
    const joined = Promise.withResolvers<void>();
    await begun.promise;
    const second = solveOk(daemon, context, {
      onProgress: ({ logs }) => {
        if (logs.includes("begun")) joined.resolve();
      },
    });
    await joined.promise;
    leaving.abort(new BuildError("canceled", "the first one leaves"));
    assert.notEqual((await first).error, undefined);
    assert.match((await second).logs, /ended/);
    assert.equal(await count("left"), 1);
  });

  test("that differ do not wait for each other's cache mounts unless they are locked", async () => {
    const texts = ["one", "two"].map(
      (name) =>
        `${shellStage}RUN --mount=type=cache,id=locked,sharing=locked,target=/c test ! -e /c/busy && touch /c/busy && sleep 0.5 && rm /c/busy && echo ${name}\n`,
    );
    const contexts = await Promise.all(texts.map(async (text) => await busyboxContext(folder.path, text)));
    await Promise.all(contexts.map(async (context) => await solveOk(daemon, context)));
  });

  test("fail together when the step they share fails, and later ones try it again", async () => {
    const context = await busyboxContext(folder.path, countingStep("failing", "sleep 0.5 && exit 3"));
    const results = await Promise.all(Array.from({ length: 4 }, async () => await solveDockerfile(daemon, context)));
    for (const { error } of results) assert.match(String(error), /exit code: 3/);
    assert.match(String((await solveDockerfile(daemon, context)).error), /exit code: 3/);
    assert.equal(await count("failing"), 2);
  });
});
