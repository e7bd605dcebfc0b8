import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { type RunOptions, temporaryFolder } from "./support/processes.ts";

const isNightly = process.env["NIGHTLY"] !== undefined;
const manyFiles = isNightly ? 100_000 : 2000;
const filesInDirectory = 250;
const largeBytes = isNightly ? 10 * 2 ** 30 : 320 * 2 ** 20;
/** Far more than a transfer needs, and less than the large file. Half of it is the client from its source tree. */
const grownMb = isNightly ? 400 : 300;

suite("large contexts", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("large-contexts"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const makeContext = (dockerfile: string): string => {
    const context = mkdtempSync(join(folder.path, "context-"));
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    return context;
  };

  const buildx = async (context: string, output: string): Promise<string> => {
    const args = ["build", "--progress=plain", "--provenance=false", `--output=${output}`, context];
    const result = await daemon.buildx(args, { timeoutMs: 600_000 });
    assert.equal(result.code, 0, `${result.output}\n${daemon.log()}`);
    return result.output;
  };

  test(`${manyFiles} files arrive, and again only what has changed`, async () => {
    const context = makeContext("FROM scratch\nCOPY files /files\n");
    for (let index = 0; index < manyFiles; index += 1) {
      const directory = join(context, "files", `d${Math.floor(index / filesInDirectory)}`);
      if (index % filesInDirectory === 0) mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `f${index}`), `${index}`.repeat(100));
    }
    const target = join(folder.path, "many");
    const first = sentBytes(await buildx(context, `type=local,dest=${target}`));
    let count = 0;
    for (const directory of readdirSync(join(target, "files")))
      count += readdirSync(join(target, "files", directory)).length;
    assert.equal(count, manyFiles);
    const unchanged = sentBytes(await buildx(context, "type=cacheonly"));
    writeFileSync(join(context, "files/d0/f7"), "changed");
    const changed = sentBytes(await buildx(context, `type=local,dest=${target}`));
    assert.equal(readFileSync(join(target, "files/d0/f7"), "utf8"), "changed");
    // What is left are the entries of the list.
    assert.ok(unchanged < first / 3, `${unchanged} of ${first} bytes were sent again`);
    assert.ok(changed < unchanged + 2000, `${changed} bytes were sent for one file, ${unchanged} for none`);
  });

  test(`a file of ${largeBytes / 2 ** 20} MiB comes and goes in little memory, on both sides`, async (t) => {
    const context = makeContext("FROM scratch\nCOPY large /\n");
    writeFileSync(join(context, "large"), "");
    truncateSync(join(context, "large"), largeBytes);
    const target = join(folder.path, "large");
    const before = peakMb(daemon.pid);
    let clientMb = 0;
    const options: RunOptions = {
      timeoutMs: 1_800_000,
      onOutput: (_output, child) => {
        clientMb = Math.max(clientMb, peakMb(child.pid ?? 0));
      },
    };
    const locals = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
    const { code, output } = await daemon.buildctl(
      ["build", "--progress=plain", "--frontend=dockerfile.v0", ...locals, `--output=type=local,dest=${target}`],
      options,
    );
    assert.equal(code, 0, output);
    assert.equal(statSync(join(target, "large")).size, largeBytes);
    // So that who waits for what is there by mistake sees it while it is sent.
    assert.match(output, /B in 1 file to transfer, most of it in\n#\d+ [\d.]+ +[\d.]+[MG]B large \(1 file\)\n/);
    const daemonMb = peakMb(daemon.pid) - before;
    t.diagnostic(`the client took ${clientMb.toFixed()} MB, the daemon ${daemonMb.toFixed()} MB more`);
    assert.ok(clientMb > 0 && clientMb < grownMb, `the client took ${clientMb} MB`);
    assert.ok(daemonMb < grownMb, `the daemon took ${daemonMb} MB more`);
  });
});

/** What `docker-buildx` says that it sent of the context. */
function sentBytes(output: string): number {
  const [, size = "", unit = ""] = [...output.matchAll(/transferring context: ([\d.]+)([kMG]?)B/g)].at(-1) ?? [];
  const factor = { "": 1, k: 1e3, M: 1e6, G: 1e9 }[unit] ?? Number.NaN;
  return Number(size) * factor;
}

/** The most that a process ever had resident; 0 for one that has ended. */
function peakMb(pid: number): number {
  try {
    const [, kilobytes = "0"] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) / 1024;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH")) return 0;
    throw error;
  }
}
