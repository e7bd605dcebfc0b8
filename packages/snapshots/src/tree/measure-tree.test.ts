import assert from "node:assert/strict";
import { closeSync, existsSync, linkSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AT_FDCWD, mkdirAt, openDirectoryAt, removeTreeAt } from "@buildkit-ts/sys";
import { measureTree } from "./measure-tree.ts";

/** Where making thousands of directories takes no time. */
const memory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

test("measureTree() counts each inode once, and nothing that links lead to", () => {
  const path = mkdtempSync(join(tmpdir(), "measure-tree-"));
  mkdirSync(join(path, "a/b"), { recursive: true });
  writeFileSync(join(path, "a/b/file"), Buffer.alloc(100_000));
  linkSync(join(path, "a/b/file"), join(path, "a/again"));
  symlinkSync("/usr", join(path, "a/link"));
  writeFileSync(join(path, "z"), "");
  const { sizeBytes, inodes } = measureTree(path, () => undefined);
  assert.equal(inodes, 6);
  assert.ok(sizeBytes >= 100_000 && sizeBytes < 300_000, String(sizeBytes));
  removeTreeAt({ fd: AT_FDCWD, path });
});

test("measureTree() counts trees that are deeper than any path", () => {
  const path = mkdtempSync(join(memory, "measure-tree-"));
  let fd = openDirectoryAt({ fd: AT_FDCWD, path });
  for (let level = 0; level < 12_000; level += 1) {
    mkdirAt({ fd, path: "d" }, 0o700);
    const next = openDirectoryAt({ fd, path: "d" });
    closeSync(fd);
    fd = next;
  }
  closeSync(fd);
  assert.equal(measureTree(path, () => undefined).inodes, 12_001);
  removeTreeAt({ fd: AT_FDCWD, path });
});

test("measureTree() finds nothing in a directory that is not there any more", () => {
  assert.deepEqual(
    measureTree(join(tmpdir(), "never-made"), () => undefined),
    { sizeBytes: 0, inodes: 0 },
  );
});
