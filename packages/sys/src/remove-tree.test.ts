import assert from "node:assert/strict";
import { closeSync, existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AT_FDCWD, mkdirAt } from "./at-calls.ts";
import { openDirectoryAt } from "./file-tree.ts";
import { clearDirectoryAt, removeTreeAt } from "./remove-tree.ts";

/** Where making thousands of directories takes no time. */
const memory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A chain of directories, made as no path could name it. */
function makeDeep(path: string, levels: number): void {
  mkdirSync(path);
  let fd = openDirectoryAt({ fd: AT_FDCWD, path });
  for (let level = 0; level < levels; level += 1) {
    mkdirAt({ fd, path: "d" }, 0o700);
    const next = openDirectoryAt({ fd, path: "d" });
    closeSync(fd);
    fd = next;
  }
  writeFileSync(`/proc/self/fd/${fd}/file`, "at the end");
  closeSync(fd);
}

test("removeTreeAt() removes trees of any depth, with few descriptors and little stack", () => {
  const folder = mkdtempSync(join(memory, "remove-tree-"));
  const path = join(folder, "tree");
  makeDeep(path, 20_000);
  // The name that what is deep is moved to may be taken.
  writeFileSync(join(path, ".removed-1"), "");
  mkdirSync(join(path, ".removed-2/full"), { recursive: true });
  assert.equal(removeTreeAt({ fd: AT_FDCWD, path }), true);
  assert.equal(existsSync(path), false);
  assert.equal(removeTreeAt({ fd: AT_FDCWD, path }), false);
  removeTreeAt({ fd: AT_FDCWD, path: folder });
});

test("clearDirectoryAt() keeps the directory, and what links lead to", () => {
  const folder = mkdtempSync(join(tmpdir(), "remove-tree-"));
  mkdirSync(join(folder, "outside"));
  writeFileSync(join(folder, "outside/kept"), "");
  mkdirSync(join(folder, "tree/a/b"), { recursive: true });
  symlinkSync(join(folder, "outside"), join(folder, "tree/a/link"));
  clearDirectoryAt({ fd: AT_FDCWD, path: join(folder, "tree") });
  assert.deepEqual(readdirSync(join(folder, "tree")), []);
  assert.deepEqual(readdirSync(join(folder, "outside")), ["kept"]);
  removeTreeAt({ fd: AT_FDCWD, path: folder });
});

test("removeTreeAt() stops when it is aborted", () => {
  const folder = mkdtempSync(join(tmpdir(), "remove-tree-"));
  mkdirSync(join(folder, "a"));
  const abort = (): void => {
    throw new Error("aborted");
  };
  assert.throws(() => removeTreeAt({ fd: AT_FDCWD, path: folder }, abort), /aborted/);
  assert.equal(existsSync(join(folder, "a")), true);
  removeTreeAt({ fd: AT_FDCWD, path: folder });
});
