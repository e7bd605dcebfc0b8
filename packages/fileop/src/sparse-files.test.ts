import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { copyDefaults } from "./testing/copy-defaults.ts";
import { ThreadedFileBackend } from "./threaded-file-backend.ts";

const size = 64 << 20;

suite("sparse files", { skip: process.getuid?.() !== 0 && "changing owners needs root" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "sparse-files-"));
  const roots = { source: join(folder, "source"), target: join(folder, "target") };
  const { signal } = new AbortController();
  const backend = new ThreadedFileBackend({ limits: { maxRatio: 10, allowanceBytes: 2 * size, maxEntries: 10 } });
  const allocated = (path: string): number => statSync(path).blocks * 512;
  let keepsHoles = false;

  before(() => {
    for (const path of Object.values(roots)) mkdirSync(path);
    const fd = openSync(join(roots.source, "disk"), "w");
    for (const offset of [0, 20 << 20, 40 << 20])
      writeSync(fd, Buffer.alloc(300_000, `at ${offset} `), 0, 300_000, offset);
    ftruncateSync(fd, size);
    closeSync(fd);
    // Some file systems know no holes.
    keepsHoles = allocated(join(roots.source, "disk")) < size / 2;
  });
  after(async () => {
    await backend[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const assertSame = (name: string): void => {
    const made = join(roots.target, name);
    assert.ok(readFileSync(made).equals(readFileSync(join(roots.source, "disk"))), name);
    if (keepsHoles) assert.ok(allocated(made) < size / 2, `${name} has holes`);
  };

  test("copy keeps their holes", async () => {
    await backend.apply({ ...copyDefaults, source: "/disk", destination: "/copied" }, roots, { signal });
    assertSame("copied");
  });

  for (const flags of [["--format=gnu"], ["--format=posix", "--sparse-version=0.1"], ["--format=posix"]]) {
    test(`copy unpacks them from tar -S ${flags.join(" ")}`, async () => {
      const name = flags.join("");
      execFileSync("tar", ["-cSf", join(roots.source, "a.tar"), ...flags, "-C", roots.source, "disk"]);
      const action = { ...copyDefaults, source: "/a.tar", destination: `/${name}/`, unpackArchives: true };
      await backend.apply(action, roots, { signal });
      assertSame(`${name}/disk`);
    });
  }

  test("what they would be counts for the limits of archives, not what is stored", async () => {
    const fd = openSync(join(roots.source, "bomb"), "w");
    ftruncateSync(fd, 2 ** 40);
    closeSync(fd);
    execFileSync("tar", ["-cSf", join(roots.source, "bomb.tar"), "-C", roots.source, "bomb"]);
    const action = { ...copyDefaults, source: "/bomb.tar", destination: "/", unpackArchives: true };
    await assert.rejects(backend.apply(action, roots, { signal }), {
      code: "resource_exhausted",
      message: /it becomes larger than 134217728 bytes/,
    });
  });
});
