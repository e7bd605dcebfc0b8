import assert from "node:assert/strict";
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { executed, solveOk } from "./support/solve.ts";

const dockerfile = `${shellStage}COPY file /file\nRUN cat /file > /made\nFROM base\nCOPY file /other\n`;
const exports = [{ type: "image", attributes: { name: "x" } }];

suite("buildkitd --fsck", () => {
  test("finds nothing in a sound root, and refuses one in use", async () => {
    await using scene = await build();
    assert.match((await scene.daemon.check()).output, /could not lock .*another instance running/);
    await scene.daemon.stop();
    const { code, output } = await scene.daemon.check();
    assert.equal(code, 0, output);
    assert.match(output, /\b0 problems, 0 records removed/);
    assert.match(output, /[1-9]\d* compared with their layers/);
    await scene.daemon.start();
    assert.deepEqual(executed(await solveOk(scene.daemon, scene.context)), []);
  });

  const damages: readonly (readonly [name: string, damage: (root: string) => void, found: RegExp])[] = [
    [
      "a truncated blob",
      (root) => truncateSync(largest(join(root, "content/content/blobs/sha256")), 100),
      /blob sha256:.*its bytes have/,
    ],
    ["a changed file", (root) => appendFileSync(fileNamed(root, "other"), "evil"), /another size at other/],
    ["a deleted file", (root) => rmSync(fileNamed(root, "file")), /nothing at file/],
    [
      "a deleted snapshot",
      (root) => rmSync(join(fileNamed(root, "file"), "../.."), { recursive: true }),
      /Cannot find the files of \d+ snapshots/,
    ],
    [
      "a database that is none",
      (root) => writeFileSync(join(root, "state.db"), "damaged".repeat(1000)),
      /it is damaged/,
    ],
  ];
  for (const [name, damage, found] of damages)
    test(`repairs ${name}, so that the next build is whole`, async () => {
      await using scene = await build();
      await scene.daemon.stop();
      damage(scene.daemon.root);
      const first = await scene.daemon.check();
      assert.equal(first.code, 1, first.output);
      assert.match(first.output, found);
      const second = await scene.daemon.check();
      assert.equal(second.code, 0, second.output);
      await scene.daemon.start();
      const { logs, error } = await solveOk(scene.daemon, scene.context, { exports });
      assert.equal(error, undefined, logs);
      const out = join(scene.folder, "out");
      await scene.daemon.buildctlOk([
        "build",
        "--frontend",
        "dockerfile.v0",
        "--local",
        `context=${scene.context}`,
        "--local",
        `dockerfile=${scene.context}`,
        "--output",
        `type=local,dest=${out}`,
      ]);
      for (const file of ["file", "made", "other"]) assert.equal(readFileSync(join(out, file), "utf8"), "text");
    });
});

interface Scene extends AsyncDisposable {
  readonly folder: string;
  readonly daemon: TestDaemon;
  readonly context: string;
}

async function build(): Promise<Scene> {
  const folder = temporaryFolder("fsck");
  const daemon = await TestDaemon.start(folder.path);
  const context = await busyboxContext(folder.path, dockerfile, { file: "text" });
  await solveOk(daemon, context, { exports });
  return {
    folder: folder.path,
    daemon,
    context,
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function largest(directory: string): string {
  const [name = ""] = readdirSync(directory).toSorted(
    (a, b) => statSync(join(directory, b)).size - statSync(join(directory, a)).size,
  );
  return join(directory, name);
}

function fileNamed(root: string, name: string): string {
  const found = readdirSync(join(root, "snapshots"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(`/fs/${name}`))
    .toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  if (found[0] === undefined) throw new Error(`no snapshot has ${name}`);
  return join(root, "snapshots", found[0]);
}
