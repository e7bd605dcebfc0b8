import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { allocatedBytes } from "./support/disk-use.ts";
import { leftoversAfter } from "./support/leftovers.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { type RunOptions, type RunResult, temporaryFolder } from "./support/processes.ts";
import { solveOk } from "./support/solve.ts";

suite("when a client is killed", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("vanished-client"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const clients: readonly (readonly [
    name: string,
    build: (context: string, options: RunOptions) => Promise<RunResult>,
  ])[] = [
    [
      "docker-buildx",
      async (context, options) =>
        await daemon.buildx(["build", "--progress=plain", "--provenance=false", context], options),
    ],
    [
      "buildctl",
      async (context, options) => {
        const local = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
        return await daemon.buildctl(["build", "--progress=plain", "--frontend=dockerfile.v0", ...local], options);
      },
    ],
  ];
  const killAt =
    (pattern: RegExp): NonNullable<RunOptions["onOutput"]> =>
    (output, child) => {
      if (pattern.test(output)) child.kill("SIGKILL");
    };

  for (const [name, build] of clients) {
    test(`while a step runs (${name}), the step ends and the daemon builds on`, async () => {
      const word = `1000.${randomInt(1e9)}`;
      const context = await busyboxContext(folder.path, `${shellStage}RUN trap '' TERM; echo begun; sleep ${word}\n`);
      const { code, output } = await build(context, { onOutput: killAt(/ begun/) });
      assert.equal(code, null, output);
      assert.deepEqual(await leftoversAfter(daemon.root, { word, timeoutMs: 15_000 }), []);
      writeFileSync(join(context, "Dockerfile"), `${shellStage}RUN echo well from ${name}\n`);
      assert.match((await solveOk(daemon, context)).logs, /well from/);
    });

    test(`while its context travels (${name}), what came goes and the daemon builds on`, async () => {
      const context = await busyboxContext(folder.path, `${shellStage}COPY big /\n`);
      writeFileSync(join(context, "big"), "");
      truncateSync(join(context, "big"), 8 * 2 ** 30);
      const { code, output } = await build(context, { onOutput: killAt(/transferring context: [\d.]+[MG]B/) });
      assert.equal(code, null, output);
      assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
      assert.ok(await becomesSmall(daemon.root), "the files that came are removed");
      truncateSync(join(context, "big"), 10);
      await solveOk(daemon, context);
    });
  }
});

async function becomesSmall(root: string): Promise<boolean> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (allocatedBytes(root) < 32 * 1024 * 1024) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
