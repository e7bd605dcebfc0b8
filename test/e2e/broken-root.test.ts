import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { canBreakDisk } from "./support/disk-faults.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";
import { executed, solveDockerfile, solveOk } from "./support/solve.ts";

suite("a root that is not as it should be", () => {
  test("is refused where it cannot be written to, with what is wrong", async () => {
    using folder = temporaryFolder("readonly-root");
    const root = join(folder.path, "root");
    mkdirSync(root);
    await runOk("mount", ["-t", "tmpfs", "-o", "ro", "none", root]);
    try {
      await assert.rejects(TestDaemon.start(folder.path), /buildkitd: .*(read-only file system|EROFS)/i);
    } finally {
      await runOk("umount", [root]);
    }
  });

  test("is served on also by a daemon that may open too few files: builds fail, and say so", async () => {
    using folder = temporaryFolder("few-files");
    await using daemon = await TestDaemon.start(folder.path);
    const context = await busyboxContext(folder.path, `${shellStage}RUN echo made > /made\n`, {});
    const limit = async (files: number): Promise<string> =>
      await runOk("prlimit", [`--pid=${daemon.pid}`, `--nofile=${files}:`]);
    // What fails first depends on how many there are: a thread's start, its imports, a folder, a file of the context.
    for (let more = 0; more <= 12; more++) {
      const open = readdirSync(`/proc/${daemon.pid}/fd`).length;
      await limit(open + more);
      const { error } = await solveDockerfile(daemon, context);
      // Threads that started in an earlier round need no files to start: a later round may have enough.
      if (error === undefined && more > 4) break;
      assert.match(String(error), /EMFILE|too many open files/i);
      assert.equal(BuildError.from(error).code, "resource_exhausted", `${more} files: ${String(error)}`);
    }
    await limit(4096);
    await solveOk(daemon, context);
  });

  const skip = !canBreakDisk() && "processes cannot be traced here";
  test("keeps its database where the disk fails to give it: it is not damaged", { skip }, async () => {
    using folder = temporaryFolder("unreadable-database");
    const context = await busyboxContext(folder.path, `${shellStage}RUN echo made > /made\n`);
    await using daemon = await TestDaemon.start(folder.path);
    await solveOk(daemon, context);
    await daemon.stop();
    const database = join(daemon.root, "state.db");
    const inject = ["-e", "trace=read,pread64", "-e", "inject=read,pread64:error=EIO"];
    await assert.rejects(
      TestDaemon.start(folder.path, [], ["strace", "-f", "-o", "/dev/null", "-P", database, ...inject]),
      /buildkitd: Cannot open metadata database .*(EIO|i\/o error)/i,
    );
    await daemon.start();
    assert.deepEqual(executed(await solveOk(daemon, context)), []);
  });

  test("has its lost snapshots built again by the build that needs them", async () => {
    using folder = temporaryFolder("lost-snapshot");
    await using daemon = await TestDaemon.start(folder.path);
    const dockerfile = `${shellStage}RUN echo first > /first\n`;
    const context = await busyboxContext(folder.path, dockerfile, {});
    await solveOk(daemon, context);
    const snapshots = join(daemon.root, "snapshots");
    const made = readdirSync(snapshots, { recursive: true, encoding: "utf8" }).find((path) =>
      path.endsWith("/fs/first"),
    );
    assert.ok(made !== undefined);
    rmSync(join(snapshots, made.split("/")[0] ?? ""), { recursive: true });
    writeFileSync(join(context, "Dockerfile"), `${dockerfile}RUN echo then it has $(cat /first)\n`);
    assert.match((await solveOk(daemon, context)).logs, /then it has first/);
  });
});
