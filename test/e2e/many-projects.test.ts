import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { type RunResult, temporaryFolder } from "./support/processes.ts";

const count = 20;

/** Projects that have a step in common, steps of their own, and two stages that are built side by side. */
function dockerfile(project: number): string {
  return `${shellStage}RUN echo common > /common
FROM base AS left
RUN echo left of ${project} > /left
FROM base AS right
COPY file /file
RUN cat /file > /right
FROM base
COPY --from=left /left /
COPY --from=right /right /
RUN cat /left /right && echo nonce=$(cat /proc/sys/kernel/random/uuid)
`;
}

suite("docker buildx", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("many-projects"));
  let daemon: TestDaemon;
  let contexts: string[];

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
    contexts = await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        return await busyboxContext(folder.path, dockerfile(i), { file: `file of ${i}\n` });
      }),
    );
    // The builder is made once; twenty at the same time would race for its name.
    await daemon.buildx(["inspect"]);
  });

  const buildAll = async (): Promise<{ readonly results: readonly RunResult[]; readonly seconds: number }> => {
    const started = performance.now();
    const builds = contexts.map(async (context) => await daemon.buildx(["build", "--progress", "plain", context]));
    const results = await Promise.all(builds);
    return { results, seconds: (performance.now() - started) / 1000 };
  };
  const nonces = (results: readonly RunResult[]): Set<string> =>
    new Set(results.flatMap(({ output }) => /nonce=([0-9a-f-]{36})/.exec(output)?.[1] ?? []));

  test(`builds ${count} different projects at once, and the second time all of them are cached`, async (t) => {
    const first = await buildAll();
    for (const [i, { code, output }] of first.results.entries()) {
      assert.equal(code, 0, output);
      assert.match(output, new RegExp(`left of ${i}\\n`));
      assert.match(output, new RegExp(`file of ${i}\\n`));
    }
    assert.equal(nonces(first.results).size, count, "each project has an image of its own");
    const second = await buildAll();
    for (const { code, output } of second.results) {
      assert.equal(code, 0, output);
      const steps = output
        .split("\n")
        .filter((line) => /^#\d+ \[(?!internal\])/.test(line))
        .map((line) => line.split(" ")[0]);
      const cached = output
        .split("\n")
        .filter((line) => line.endsWith(" CACHED"))
        .map((line) => line.split(" ")[0]);
      assert.ok(steps.length >= 8, output);
      assert.deepEqual(new Set(cached), new Set(steps), output);
    }
    assert.equal(nonces(second.results).size, 0, "nothing ran");
    t.diagnostic(`first ${first.seconds.toFixed(1)} s, second ${second.seconds.toFixed(1)} s`);
  });

  test("bakes more targets on one connection than its window has room for a megabyte of each", async () => {
    const targets = Array.from({ length: 64 }, (_, i) => `t${i}`);
    const bake = join(folder.path, "bake");
    for (const [i, target] of targets.entries()) {
      mkdirSync(join(bake, target), { recursive: true });
      writeFileSync(join(bake, target, "data"), Buffer.alloc(1_900_000, `${i} `));
      writeFileSync(join(bake, target, "Dockerfile"), "FROM scratch\nCOPY data /data\n");
    }
    const definition = {
      group: { default: { targets } },
      target: Object.fromEntries(targets.map((target) => [target, { context: join(bake, target) }])),
    };
    writeFileSync(join(bake, "bake.json"), JSON.stringify(definition));
    const { code, output } = await daemon.buildx([
      "bake",
      "--progress",
      "plain",
      "--allow",
      "fs=*",
      "-f",
      join(bake, "bake.json"),
    ]);
    assert.equal(code, 0, output);
    for (const target of targets) assert.match(output, new RegExp(`\\[${target} 1/1\\] COPY`));
  });
});
