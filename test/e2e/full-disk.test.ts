import assert from "node:assert/strict";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { leftovers } from "./support/leftovers.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";
import { differences, fingerprint } from "./support/snapshot-fingerprint.ts";
import { executed, solveDockerfile, solveOk } from "./support/solve.ts";

const sizeMb = 64;
const noSpace = /no space left on device|database or disk is full/i;

suite("on a disk that is full", () => {
  const folder = temporaryFolder("full-disk");
  const root = join(folder.path, "root");
  let daemon: TestDaemon;
  let kept: string;

  before(async () => {
    mkdirSync(root);
    await runOk("mount", ["-t", "tmpfs", "-o", `size=${sizeMb}m`, "none", root]);
    daemon = await TestDaemon.start(folder.path);
    kept = await busyboxContext(folder.path, `${shellStage}RUN echo kept > /kept\n`);
    await solveOk(daemon, kept);
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await runOk("umount", [root]);
    folder[Symbol.dispose]();
  });

  const works = async (before: ReturnType<typeof fingerprint>): Promise<void> => {
    assert.deepEqual(leftovers(root), []);
    assert.deepEqual(differences(before, fingerprint(root)), []);
    assert.deepEqual(executed(await solveOk(daemon, kept)), []);
  };

  test("a context that does not fit fails the build, and goes", async () => {
    const before = fingerprint(root);
    const context = await busyboxContext(folder.path, `${shellStage}COPY big /\n`);
    writeFileSync(join(context, "big"), "");
    truncateSync(join(context, "big"), 2 * sizeMb * 2 ** 20);
    const { error } = await solveDockerfile(daemon, context);
    assert.ok(error instanceof BuildError);
    assert.match(error.message, noSpace);
    assert.equal(error.code, "resource_exhausted", error.message);
    await works(before);
    truncateSync(join(context, "big"), 1000);
    await solveOk(daemon, context);
  });

  test("a step that writes too much fails by itself, and its files go", async () => {
    const before = fingerprint(root);
    const context = await busyboxContext(
      folder.path,
      `${shellStage}RUN dd if=/dev/zero of=/big bs=1M count=${2 * sizeMb}\n`,
    );
    const { error, logs } = await solveDockerfile(daemon, context);
    assert.match(logs, noSpace);
    assert.match(String(error), /exit code: 1/);
    await works(before);
  });

  test("a copy that does not fit fails the build", async () => {
    const before = fingerprint(root);
    const context = await busyboxContext(folder.path, `${shellStage}COPY big /a/\nCOPY big /b/\nCOPY big /c/\n`);
    writeFileSync(join(context, "big"), "");
    truncateSync(join(context, "big"), 22 * 2 ** 20);
    const { error } = await solveDockerfile(daemon, context);
    assert.ok(error instanceof BuildError);
    assert.match(error.message, noSpace);
    assert.equal(error.code, "resource_exhausted", error.message);
    await works(before);
    await daemon.buildctlOk(["prune", "--all"]);
    await solveOk(daemon, kept);
  });

  test("an image whose blobs do not fit fails the export, and what is built stays", async () => {
    const context = await busyboxContext(folder.path, `${shellStage}RUN head -c 40m /dev/urandom > /big\n`);
    const exports = [{ type: "image", attributes: { name: "big:v1" } }];
    const { error } = await solveDockerfile(daemon, context, { exports });
    const before = fingerprint(root);
    assert.ok(error instanceof BuildError);
    assert.match(error.message, noSpace);
    assert.equal(error.code, "resource_exhausted", error.message);
    await works(before);
    await daemon.buildctlOk(["prune", "--all"]);
    await solveOk(daemon, kept);
  });

  test("without a byte left it refuses builds, lives, starts again, and builds when there is space", async () => {
    const before = fingerprint(root);
    const filler = fillDisk(root);
    const fresh = await busyboxContext(folder.path, `${shellStage}RUN echo fresh > /fresh\n`);
    const { error } = await solveDockerfile(daemon, fresh);
    assert.match(String(error), noSpace);
    await daemon.buildctlOk(["debug", "workers"]);
    rmSync(filler);
    await works(before);
    await solveOk(daemon, fresh);
    await daemon.kill();
    fillDisk(root);
    await daemon.start().then(
      () => undefined,
      (error: unknown) => assert.match(String(error), noSpace),
    );
    rmSync(filler);
    await daemon.stop();
    await daemon.start();
    assert.deepEqual(executed(await solveOk(daemon, fresh)), []);
  });
});

/** Leaves nothing free. */
function fillDisk(root: string): string {
  const path = join(root, "filler");
  const fd = openSync(path, "w");
  ftruncateSync(fd, 0);
  try {
    for (let left = statfsSync(root).bavail + 64; left > 0; left -= 1) writeSync(fd, Buffer.alloc(4096, 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(fd);
  }
  return path;
}
