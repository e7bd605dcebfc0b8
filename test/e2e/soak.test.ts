import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { solveOk } from "./support/solve.ts";

const isNightly = process.env["NIGHTLY"] === "1";
/** What is there when the caches of the process and of the disk are full is what is compared with. */
const scale = isNightly
  ? { builds: 500, settled: 50, memoryMb: 30, databaseMb: 2 }
  : { builds: 24, settled: 8, memoryMb: 60, databaseMb: 2 };
const historyEntries = 5;
const keptBytes = 40e6;

suite("one daemon", () => {
  test(`stays as large as it is over ${scale.builds} builds`, { timeout: scale.builds * 60_000 }, async (t) => {
    using folder = temporaryFolder("soak");
    const gc = `[[worker.oci.gcpolicy]]\nall = true\nmaxUsedSpace = ${keptBytes}\n`;
    const history = `[history]\nmaxAge = 1\nmaxEntries = ${historyEntries}\n`;
    writeFileSync(join(folder.path, "none.toml"), `${history}[worker.oci]\ngc = true\n${gc}`);
    await using daemon = await TestDaemon.start(folder.path);
    const context = await busyboxContext(
      folder.path,
      `${shellStage}COPY data /data\nRUN cp /data /copy && echo made\n`,
      {},
    );
    const samples: { readonly memory: number; readonly database: number }[] = [];
    for (let build = 0; build < scale.builds; build += 1) {
      writeFileSync(join(context, "data"), `${build} `.repeat(200_000));
      await solveOk(daemon, context, { exports: [{ type: "image", attributes: { name: "soak" } }] });
      samples.push({ memory: residentBytes(daemon.pid), database: databaseBytes(daemon.root) });
    }
    const settled = samples.slice(scale.settled);
    for (const [what, limitMb] of [
      ["memory", scale.memoryMb],
      ["database", scale.databaseMb],
    ] as const) {
      const values = settled.map((sample) => sample[what]);
      // Between halves, as one sample may be taken before and another one after a garbage collection.
      const half = Math.floor(values.length / 2);
      const grownMb = (median(values.slice(half)) - median(values.slice(0, half))) / 1e6;
      const perBuildKb = (grownMb * 1000) / half;
      t.diagnostic(
        `${what}: ${mb(samples[0]?.[what])} first, ${mb(values[0])} settled, ${mb(values.at(-1))} last, slope ${perBuildKb.toFixed(1)} kB a build`,
      );
      assert.ok(grownMb < limitMb, `${what} grew by ${grownMb.toFixed(1)} MB`);
    }
  });
});

function residentBytes(pid: number): number {
  const [, kilobytes = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/** With its log: what is written is there first. */
function databaseBytes(root: string): number {
  return ["", "-wal"].reduce((sum, suffix) => sum + statSync(join(root, `state.db${suffix}`)).size, 0);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function mb(bytes: number | undefined): string {
  return `${((bytes ?? 0) / 1e6).toFixed(1)} MB`;
}
