import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { chmodAt, chownAt, linkAt, mkdirAt, mknodAt, renameAt, symlinkAt, unlinkAt, utimesAt } from "./at-calls.ts";
import { copyFileData } from "./copy-file-data.ts";
import { findLstatAt, lstatAt, S_IFCHR } from "./file-stat.ts";
import { syncFileSystem, tryLock } from "./process-calls.ts";
import { RootedDirectory } from "./rooted-directory.ts";
import { errnoNumber, errnoText, hasErrno, SystemError } from "./system-error.ts";
import { findXattr, listXattrs, pathOfAt, removeXattr, setXattr } from "./xattrs.ts";

function makeRoot(): { root: RootedDirectory; path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "at-"));
  const root = RootedDirectory.open(path);
  return {
    root,
    path,
    [Symbol.dispose]: () => {
      root[Symbol.dispose]();
      rmSync(path, { recursive: true });
    },
  };
}

test("the *at calls change names in an open directory", () => {
  using made = makeRoot();
  const { fd } = made.root;
  mkdirAt({ fd, path: "dir" }, 0o700);
  writeFileSync(join(made.path, "dir/file"), "content");
  linkAt({ fd, path: "dir/file" }, { fd, path: "link" });
  symlinkAt("dir", { fd, path: "symlink" });
  mknodAt({ fd, path: "whiteout" }, S_IFCHR, { major: 0, minor: 0 });
  mknodAt({ fd, path: "device" }, S_IFCHR | 0o600, { major: 1001, minor: 70000 });
  assert.equal(lstatAt({ fd, path: "link" }).linkCount, 2);
  assert.equal(lstatAt({ fd, path: "whiteout" }).isWhiteout(), true);
  assert.deepEqual(lstatAt({ fd, path: "device" }).specialDevice, { major: 1001, minor: 70000 });
  renameAt({ fd, path: "link" }, { fd, path: "dir/renamed" });
  unlinkAt({ fd, path: "dir/file" });
  assert.equal(readFileSync(join(made.path, "symlink/renamed"), "utf8"), "content");
  assert.equal(findLstatAt({ fd, path: "dir/file" }), undefined);
  chownAt({ fd, path: "symlink" }, 7, 8);
  chmodAt({ fd, path: "dir/renamed" }, 0o4711);
  assert.equal(lstatAt({ fd, path: "symlink" }).gid, 8);
  assert.equal(lstatAt({ fd, path: "dir/renamed" }).mode & 0o7777, 0o4711);
});

test("utimesAt() sets nanoseconds, also before the epoch, and leaves what is undefined", () => {
  using made = makeRoot();
  const at = { fd: made.root.fd, path: "file" };
  writeFileSync(join(made.path, "file"), "");
  for (const modificationNs of [1_700_000_000_123_456_789n, -1n, 0n]) {
    utimesAt(at, { accessNs: 5n, modificationNs });
    assert.equal(statSync(join(made.path, "file"), { bigint: true }).mtimeNs, modificationNs);
  }
  utimesAt(at, { accessNs: undefined, modificationNs: 9n });
  assert.equal(lstatAt(at).accessNs, 5n);
});

test("extended attributes can be set, read, listed and removed by path and descriptor", () => {
  using made = makeRoot();
  writeFileSync(join(made.path, "file"), "");
  symlinkAt("file", { fd: made.root.fd, path: "link" });
  using file = made.root.openRegularFile("file");
  setXattr(file.fd, "user.a", Buffer.from("value"));
  const path = pathOfAt({ fd: made.root.fd, path: "file" });
  assert.equal(findXattr(path, "user.a")?.toString(), "value");
  assert.deepEqual(listXattrs(path), ["user.a"]);
  assert.deepEqual(listXattrs(pathOfAt({ fd: made.root.fd, path: "link" })), []);
  removeXattr(path, "user.a");
  removeXattr(path, "user.a");
  assert.equal(findXattr(file.fd, "user.a"), undefined);
});

test("copyFileData() copies all bytes, also those of files without a size", () => {
  using made = makeRoot();
  const bytes = Buffer.alloc(3_000_000, "abcdefg");
  writeFileSync(join(made.path, "from"), bytes);
  for (const [source, sizeBytes] of [
    [join(made.path, "from"), bytes.length],
    ["/proc/self/status", 0],
  ] as const) {
    const from = openSync(source, "r");
    const to = openSync(join(made.path, "to"), "w");
    const copied = copyFileData(from, to, { sizeBytes });
    closeSync(from);
    closeSync(to);
    assert.equal(copied, statSync(join(made.path, "to")).size);
    assert.ok(copied > 100);
  }
});

test("failures carry the errno's name and the path", async () => {
  using made = makeRoot();
  assert.throws(
    () => mkdirAt({ fd: made.root.fd, path: "a/b" }, 0o755),
    (error) => error instanceof SystemError && error.code === "ENOENT" && error.path === "a/b" && error.errno === 2,
  );
  await assert.rejects(syncFileSystem(-1), (error) => hasErrno(error, "EBADF"));
  await syncFileSystem(made.root.fd);
  assert.equal(errnoText("ENOENT"), "no such file or directory");
  assert.equal(errnoText("EEXIST"), "file exists");
  assert.equal(errnoNumber("ENOTDIR"), 20);
});

test("tryLock() does not take what another descriptor holds", () => {
  using made = makeRoot();
  writeFileSync(join(made.path, "lock"), "");
  using first = made.root.openRegularFile("lock");
  using second = made.root.openRegularFile("lock");
  assert.equal(tryLock(first.fd, "exclusive"), true);
  assert.equal(tryLock(second.fd, "shared"), false);
});
