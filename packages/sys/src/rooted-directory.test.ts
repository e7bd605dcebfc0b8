import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { mknodAt, readlinkAt } from "./at-calls.ts";
import { S_IFIFO } from "./file-stat.ts";
import { OpenFile, RootedDirectory, readNames, readNamesUpTo } from "./rooted-directory.ts";
import { hasErrno } from "./system-error.ts";

function makeTree(): { root: string } & Disposable {
  const root = mkdtempSync(join(tmpdir(), "rooted-"));
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

test("RootedDirectory resolves absolute links and .. beneath itself", () => {
  using tree = makeTree();
  mkdirSync(join(tree.root, "etc"));
  writeFileSync(join(tree.root, "etc/passwd"), "inside");
  symlinkSync("/etc", join(tree.root, "link"));
  symlinkSync("../../../../etc/passwd", join(tree.root, "up"));
  using root = RootedDirectory.open(tree.root);
  for (const path of ["/etc/passwd", "link/passwd", "up", "../../etc/passwd", "/link/../etc/passwd"]) {
    assert.equal(root.readFile(path, { maxBytes: 100 }).toString(), "inside", path);
  }
  assert.equal(root.lstat("link").isSymbolicLink(), true);
  assert.equal(root.stat("link").isDirectory(), true);
  assert.equal(root.readlink("link"), "/etc");
  assert.deepEqual(root.readdir("/"), ["etc", "link", "up"]);
});

test("RootedDirectory does not wait for a FIFO nor follow magic links", () => {
  using tree = makeTree();
  using root = RootedDirectory.open(tree.root);
  mknodAt({ fd: root.fd, path: "fifo" }, S_IFIFO | 0o644, { major: 0, minor: 0 });
  assert.throws(
    () => root.openRegularFile("fifo"),
    (error) => hasErrno(error, "EINVAL"),
  );
  using proc = RootedDirectory.open("/proc");
  assert.throws(
    () => proc.open("self/root/etc", 0),
    (error) => hasErrno(error, "ELOOP"),
  );
});

test("RootedDirectory.readFile() refuses what is larger than the limit and paths with NUL", () => {
  using tree = makeTree();
  writeFileSync(join(tree.root, "file"), "12345");
  using root = RootedDirectory.open(tree.root);
  assert.equal(root.readFile("file", { maxBytes: 5 }).length, 5);
  assert.throws(
    () => root.readFile("file", { maxBytes: 4 }),
    (error) => hasErrno(error, "EFBIG"),
  );
  assert.throws(
    () => root.stat("file\0x"),
    (error) => hasErrno(error, "EINVAL"),
  );
});

test("readNames() keeps names that are not UTF-8 as bytes", () => {
  using tree = makeTree();
  const name = Buffer.from([0x61, 0xff]);
  symlinkSync(Buffer.from([0xfe]), Buffer.concat([Buffer.from(`${tree.root}/`), name]));
  writeFileSync(join(tree.root, "é"), "");
  using root = RootedDirectory.open(tree.root);
  assert.deepEqual(root.readdir("/"), [name, "é"]);
  assert.deepEqual(readlinkAt({ fd: root.fd, path: name }), Buffer.from([0xfe]));
  assert.deepEqual(root.readlink(name), Buffer.from([0xfe]));
});

test("readNames() gives names in the order of their bytes, whatever they are", () => {
  using tree = makeTree();
  const sets: readonly (readonly Buffer[])[] = [
    ["b", "a-c", "a", "A", "é", "a.b"].map((name) => Buffer.from(name)),
    ["\u{1f600}", "\ufffd", "\uff5e", "z"].map((name) => Buffer.from(name)),
    [Buffer.from("z"), Buffer.from([0x61, 0xff]), Buffer.from([0x61, 0xc3])],
  ];
  for (const [index, names] of sets.entries()) {
    const directory = join(tree.root, String(index));
    mkdirSync(directory);
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), name]), "");
    using open = new OpenFile(openSync(directory, "r"));
    const sorted = names.toSorted((a, b) => Buffer.compare(a, b));
    for (const found of [readNames(open.fd), readNamesUpTo(open.fd, names.length)])
      assert.deepEqual(
        found.map((name) => Buffer.from(name as Buffer)),
        sorted,
      );
    assert.throws(() => readNamesUpTo(open.fd, names.length - 1), { code: "E2BIG" });
  }
});
