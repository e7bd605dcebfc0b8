import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { allocatedBytes } from "./support/disk-use.ts";
import { temporaryFolder } from "./support/processes.ts";
import { solveOk } from "./support/solve.ts";

/** The whole thing takes minutes; what is asked of the daemon is the same on a smaller scale. */
const scale =
  process.env["NIGHTLY"] === "1"
    ? { budgetBytes: 1e9, buildBytes: 100e6, builds: 50 }
    : { budgetBytes: 100e6, buildBytes: 10e6, builds: 16 };
const sampleMs = 100;

suite("the disk", () => {
  test(`holds ${scale.builds} builds within a budget, and one more that runs`, async (t) => {
    using folder = temporaryFolder("disk-budget");
    const policy = `all = true\nmaxUsedSpace = ${scale.budgetBytes}`;
    writeFileSync(join(folder.path, "none.toml"), `[worker.oci]\ngc = true\n[[worker.oci.gcpolicy]]\n${policy}\n`);
    await using daemon = await TestDaemon.start(folder.path);
    const half = Buffer.allocUnsafe(scale.buildBytes / 2);
    const dockerfile = `${shellStage}COPY half /half\nRUN cat /half > /other\n`;
    const context = await busyboxContext(folder.path, dockerfile, {});
    const samples: number[] = [];
    const timer = setInterval(() => samples.push(allocatedBytes(daemon.root)), sampleMs);
    let allowance = 0;
    const usedBefore = allocatedBytes(daemon.root);
    for (let build = 0; build < scale.builds; build += 1) {
      writeFileSync(join(context, "half"), randomFillSync(half));
      const attributes = { name: "big", compression: "uncompressed" };
      await solveOk(daemon, context, { exports: [{ type: "image", attributes }] });
      // What the first build takes is what a running one takes at most: the context, the layers, and their blobs.
      if (build === 0) allowance = Math.max(...samples, allocatedBytes(daemon.root)) - usedBefore;
    }
    clearInterval(timer);
    const most = Math.max(...samples);
    t.diagnostic(
      `most ${mb(most)} of ${mb(scale.budgetBytes)}, a build takes ${mb(allowance)}, ${samples.length} samples`,
    );
    assert.ok(most > scale.budgetBytes * 0.8, `the budget was never used: ${mb(most)}`);
    assert.ok(most <= scale.budgetBytes + allowance, `${mb(most)} with ${mb(allowance)} for the build that runs`);
  });

  test("has what `buildctl du` says, within two percent", async (t) => {
    using folder = temporaryFolder("disk-usage");
    await using daemon = await TestDaemon.start(folder.path, ["--oci-worker-gc=false"]);
    const big = (megabytes: number): string => Buffer.alloc(megabytes * 1e6, "x").toString();
    const files = { big: big(20), "many/1": "1", "many/2": "2", "many/3": "3" };
    const dockerfile = `${shellStage}FROM base AS files
COPY big /big
COPY many /many
RUN --mount=type=cache,target=/cache cp /big /cache/big && cp /big /copy && ln /copy /hard
FROM files
RUN rm /copy && echo more >> /big
COPY --link big /linked/
COPY --link --from=files /copy /linked/copy
`;
    const context = await busyboxContext(folder.path, dockerfile, files);
    for (const type of ["image", "oci"]) {
      const output = [
        "--output",
        type === "oci" ? `type=oci,dest=${join(folder.path, "out.tar")}` : "type=image,name=x",
      ];
      await daemon.buildctlOk([
        "build",
        "--frontend",
        "dockerfile.v0",
        "--local",
        `context=${context}`,
        "--local",
        `dockerfile=${context}`,
        ...output,
      ]);
    }
    await compare("after builds");
    await daemon.buildctlOk(["prune", "--filter", "type==source.local", "--filter", "description~=linked"]);
    await compare("after what others share files with is gone");

    async function compare(when: string): Promise<void> {
      const records = JSON.parse(await daemon.buildctlOk(["du", "--format", "json"])) as { readonly size: number }[];
      const told = records.reduce((sum, { size }) => sum + size, 0);
      const du = (name: string): number =>
        Number(execFileSync("du", ["-s", "-B1", join(daemon.root, name)], { encoding: "utf8" }).split("\t")[0]);
      const found = du("snapshots") + du("content/content/blobs");
      t.diagnostic(`${when}: du ${mb(found)}, records ${mb(told)}, the whole root ${mb(du(""))}`);
      assert.ok(Math.abs(found - told) < found * 0.02, `${when}: ${found} on disk, ${told} told`);
    }
  });
});

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
