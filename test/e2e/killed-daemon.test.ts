import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { globSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { BuildkitClient } from "@buildkit-ts/client";
import { busyboxContext, shellLayer, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { leftovers, leftoversAfter } from "./support/leftovers.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { differences, fingerprint } from "./support/snapshot-fingerprint.ts";
import { executed, type SolveOptions, solveDockerfile, solveOk } from "./support/solve.ts";
import { StallingClient } from "./support/stalling-client.ts";
import { StallingRegistry } from "./support/stalling-registry.ts";

/** A daemon starts and cleans up in less than two seconds on an idle machine of two cores. */
const startLimitMs = 8000;

suite("a daemon that was killed", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("killed-daemon"));
  let daemon: TestDaemon;
  let registry: StallingRegistry;
  let kept: string;

  before(async () => {
    registry = owned.use(await StallingRegistry.start());
    daemon = owned.use(await TestDaemon.start(folder.path));
    kept = await busyboxContext(
      folder.path,
      `${shellStage}RUN --mount=type=cache,target=/c echo x >> /c/x && cp /c/x /x\nCOPY file /file\n`,
      { file: "text" },
    );
    await solveOk(daemon, kept);
  });

  /** Starts it again, and checks what every start must leave. */
  const restart = async (before: ReturnType<typeof fingerprint>): Promise<void> => {
    const from = performance.now();
    await daemon.start();
    assert.ok(performance.now() - from < startLimitMs, `it took ${performance.now() - from} ms to start`);
    assert.deepEqual(leftovers(daemon.root), []);
    const solved = await solveOk(daemon, kept);
    assert.deepEqual(executed(solved), [], "the cache survives");
    assert.deepEqual(differences(before, fingerprint(daemon.root)), []);
    writeFileSync(join(kept, "file"), String(randomInt(1e9)));
    assert.deepEqual(executed(await solveOk(daemon, kept)), ["COPY file /file"]);
  };

  const killDuring = async (
    dockerfile: string,
    options: SolveOptions & { readonly reached: Promise<void> },
  ): Promise<void> => {
    const context = await busyboxContext(folder.path, dockerfile);
    const { reached, ...rest } = options;
    const building = solveDockerfile(daemon, context, rest);
    await Promise.race([reached, building.then(({ error }) => assert.fail(`it ended before: ${String(error)}`))]);
    await daemon.kill();
    assert.notEqual((await building).error, undefined);
  };

  test("while it pulls, cleans up, keeps its cache and pulls again", async () => {
    const image = registry.putImage("pulled", await shellLayer(folder.path));
    const dockerfile = `FROM ${image}\nRUN echo pulled\n`;
    const before = fingerprint(daemon.root);
    await killDuring(dockerfile, {
      reached: registry.stall(({ method, url }) => {
        return method === "GET" && url?.includes("/blobs/") === true;
      }),
    });
    registry.release();
    await restart(before);
    assert.match((await solveOk(daemon, await busyboxContext(folder.path, dockerfile))).logs, /pulled/);
  });

  test("while a step runs that ignores SIGTERM, ends the step", async () => {
    const word = `1000.${randomInt(1e9)}`;
    const before = fingerprint(daemon.root);
    const begun = Promise.withResolvers<void>();
    const caches = "--mount=type=cache,target=/c --mount=type=bind,from=base,target=/b,rw --mount=type=tmpfs,target=/t";
    await killDuring(`${shellStage}FROM base\nRUN ${caches} trap '' TERM; echo begun; sleep ${word}; sleep ${word}\n`, {
      reached: begun.promise,
      onProgress: ({ logs }) => {
        if (logs.includes("begun")) begun.resolve();
      },
    });
    await restart(before);
    // What describes the builds since is stored when their clients have their results.
    assert.deepEqual(await leftoversAfter(daemon.root, { word, timeoutMs: 5000 }), []);
  });

  test("while it pushes, pushes again", async () => {
    const before = fingerprint(daemon.root);
    const name = `${registry.host}/pushed:v1`;
    const dockerfile = `${shellStage}RUN echo pushed > /file\n`;
    const exports = [{ type: "image", attributes: { name, push: "true" } }];
    await killDuring(dockerfile, {
      exports,
      reached: registry.stall(({ method, url }) => method === "POST" && url?.includes("/blobs/uploads") === true),
    });
    registry.release();
    await restart(before);
    const again = await solveOk(daemon, await busyboxContext(folder.path, dockerfile), { exports });
    assert.deepEqual(
      executed(again).filter((step) => !step.startsWith("export")),
      [],
    );
    assert.notEqual(registry.registry.manifest("pushed", "v1"), undefined);
  });

  test("while the next version of a context is made in the place of the one before, has its results, and the version anew", async () => {
    const files = { "data/a": "first", "data/b": "kept", "data/c": "first" };
    const context = await busyboxContext(folder.path, `${shellStage}COPY data /data\nRUN ls /data\n`, files);
    await solveOk(daemon, context);
    const before = fingerprint(daemon.root);
    const place = (): string[] => globSync("snapshots/*/fs/data/c", { cwd: daemon.root });
    assert.equal(place().length, 2, "in the version and in the layer");
    writeFileSync(join(context, "data/a"), "second");
    writeFileSync(join(context, "data/z"), randomBytes(4_000_000));
    rmSync(join(context, "data/c"));
    const socket = join(folder.path, "stalling");
    const options = { daemon: daemon.address.slice("unix://".length), afterBytes: 2_000_000 };
    using stalling = await StallingClient.start(socket, options);
    await using client = await BuildkitClient.connect(`unix://${socket}`, { signal: AbortSignal.timeout(60_000) });
    const directories = { context, dockerfile: context };
    const request = { frontend: "dockerfile.v0", directories, sharedKey: context };
    const building = client.build(request, { signal: AbortSignal.timeout(60_000) });
    building.catch(() => undefined);
    await stalling.isHeld;
    assert.equal(place().length, 1, "the version is being changed");
    await daemon.kill();
    stalling.release();
    await assert.rejects(building);
    await restart(before);
    assert.deepEqual(executed(await solveOk(daemon, context)), ["COPY data /data", "RUN ls /data"]);
  });

  test("at any moment of many builds, starts again", async () => {
    for (const delayMs of [200, 600]) {
      const before = fingerprint(daemon.root);
      const contexts = await Promise.all(
        ["a", "b", "c"].map(
          async (name) =>
            await busyboxContext(
              folder.path,
              `${shellStage}FROM base\nRUN echo ${name} ${delayMs} > /x\nCOPY big /y\nRUN cat /y | sh -c 'cat > /z'\nFROM base\nCOPY --from=1 / /w\n`,
              { big: name.repeat(1e6) },
            ),
        ),
      );
      const builds = Promise.all(contexts.map(async (context) => await solveDockerfile(daemon, context)));
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await daemon.kill();
      await builds;
      await restart(before);
      for (const context of contexts) await solveOk(daemon, context);
    }
  });

  test("or was stopped, has its cache, also after a second stop", async () => {
    for (let round = 0; round < 2; round += 1) {
      const before = fingerprint(daemon.root);
      await daemon.stop();
      assert.deepEqual(leftovers(daemon.root), []);
      await restart(before);
    }
  });

  test("is not started twice on one root", async () => {
    using other = temporaryFolder("second-daemon");
    await assert.rejects(
      TestDaemon.start(other.path, ["--root", daemon.root]),
      /could not lock .*buildkitd\.lock, another instance running\?[\s\S]*stop the other daemon/,
    );
    await solveOk(daemon, kept);
  });
});
