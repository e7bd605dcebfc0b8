import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { findXattr, mknodAt, openAt, RootedDirectory, S_IFIFO, setXattr } from "@buildkit-ts/sys";
import { encodeTarHeader, tarEnd } from "@buildkit-ts/tar";
import type { CopyAction, FileAction } from "./file-actions.ts";
import { copyDefaults } from "./testing/copy-defaults.ts";
import { ThreadedFileBackend } from "./threaded-file-backend.ts";

const { signal } = new AbortController();
const skip = process.getuid?.() === 0 ? false : "changing owners needs root";
const backend = new ThreadedFileBackend();
after(async () => await backend[Symbol.asyncDispose]());

class Trees implements Disposable {
  readonly base: string = mkdtempSync(join(tmpdir(), "fileop-"));
  readonly source: string = join(this.base, "source");
  readonly target: string = join(this.base, "target");

  constructor(source: Readonly<Record<string, string>> = {}, target: Readonly<Record<string, string>> = {}) {
    this.#write(this.source, source);
    this.#write(this.target, target);
  }

  #write(root: string, tree: Readonly<Record<string, string>>): void {
    mkdirSync(root);
    for (const [name, content] of Object.entries(tree)) {
      mkdirSync(join(root, name, name.endsWith("/") ? "." : ".."), { recursive: true });
      if (content.startsWith("-> ")) symlinkSync(content.slice(3), join(root, name));
      else if (!name.endsWith("/")) writeFileSync(join(root, name), content);
    }
  }

  async apply(action: FileAction): Promise<void> {
    await backend.apply(action, { target: this.target, source: this.source }, { signal });
  }

  async copy(source: string, destination: string, options: Partial<CopyAction> = {}): Promise<void> {
    await this.apply({ ...copyDefaults, source, destination, ...options });
  }

  names(): string[] {
    return readdirSync(this.target, { recursive: true, encoding: "utf8" }).toSorted();
  }

  read(path: string): string {
    return readFileSync(join(this.target, path), "utf8");
  }

  lstat(path: string): { mode: number; uid: number; gid: number; mtimeNs: bigint; ino: bigint } {
    const stat = lstatSync(join(this.target, path), { bigint: true });
    const { mtimeNs, ino } = stat;
    return { mode: Number(stat.mode) & 0o7777, uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs, ino };
  }

  [Symbol.dispose](): void {
    rmSync(this.base, { recursive: true });
  }
}

function hasText(...texts: readonly string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BuildError, String(error));
    assert.ok(texts.includes(error.message), error.message);
    return true;
  };
}

test("mkfile, mkdir and symlink set owner, mode and time, and stay inside the tree", { skip }, async () => {
  using trees = new Trees({}, { "dir/": "", out: "-> /../../../dir", old: "old" });
  const owner = { uid: 5, gid: 6 };
  const timestampNs = 1_700_000_000_123_456_789n;
  await trees.apply({ kind: "mkfile", path: "/out/file", mode: 0o640, data: Buffer.from("text"), owner, timestampNs });
  assert.equal(trees.read("dir/file"), "text");
  const { ino, ...stat } = trees.lstat("dir/file");
  assert.deepEqual(stat, { mode: 0o640, ...owner, mtimeNs: timestampNs });
  assert.ok(ino > 0n);
  await trees.apply({ kind: "mkdir", path: "/out/a/b", mode: 0o777, makeParents: true, owner, timestampNs });
  assert.deepEqual([trees.lstat("dir/a").mode, trees.lstat("dir/a/b").uid], [0o777, 5]);
  await trees.apply({ kind: "mkdir", path: "/dir/a", mode: 0o700, makeParents: false });
  assert.equal(trees.lstat("dir/a").mode, 0o777);
  await trees.apply({ kind: "symlink", oldPath: "../../x", newPath: "/dir/link", owner, timestampNs });
  assert.equal(readlinkSync(join(trees.target, "dir/link")), "../../x");
  assert.equal(trees.lstat("dir/link").gid, 6);
  await trees.apply({ kind: "mkfile", path: "old", mode: 0o600, data: Buffer.from("n") });
  assert.equal(trees.read("old"), "n");
  const missing = { kind: "mkdir", path: "/no/dir", mode: 0o755, makeParents: false } as const;
  await assert.rejects(trees.apply(missing), hasText("mkdir /no/dir: no such file or directory"));
  const exists = { kind: "symlink", oldPath: "x", newPath: "/old" } as const;
  await assert.rejects(trees.apply(exists), hasText("symlink x /old: file exists"));
});

test("mkfile does not wait for a FIFO in its place", { skip }, async () => {
  using trees = new Trees();
  using root = RootedDirectory.open(trees.target);
  mknodAt({ fd: root.fd, path: "fifo" }, S_IFIFO | 0o644, { major: 0, minor: 0 });
  await assert.rejects(trees.apply({ kind: "mkfile", path: "/fifo", mode: 0o644, data: Buffer.from("x") }), BuildError);
});

test("rm removes trees, links instead of what they lead to, and wildcards", async () => {
  using trees = new Trees({}, { "a/b/c": "", "a/d": "", link: "-> a/b", x1: "", x2: "", "y/x3": "" });
  const rm = { kind: "rm", allowNotFound: false, allowWildcard: false } as const;
  await trees.apply({ ...rm, path: "/link" });
  await trees.apply({ ...rm, path: "/a/b" });
  await trees.apply({ ...rm, path: "/x*", allowWildcard: true });
  await trees.apply({ ...rm, path: "/none/x", allowNotFound: true });
  assert.deepEqual(trees.names(), ["a", "a/d", "y", "y/x3"]);
  await assert.rejects(trees.apply({ ...rm, path: "/none" }), hasText("stat /none: no such file or directory"));
  await assert.rejects(trees.apply({ ...rm, path: "/" }), hasText("rmPath: invalid empty path"));
});

test("copy puts a file in place of a path, or into a directory that is there", async () => {
  using trees = new Trees({ "dir/file": "text" }, { "there/": "", link: "-> there" });
  await trees.copy("/dir/file", "/new/name");
  await trees.copy("/dir/file", "/made/");
  await trees.copy("/dir/file", "/link");
  await trees.copy("/dir", "/whole");
  await trees.copy("/dir", "/there");
  await trees.copy("/dir", "/link", { directoryContents: true });
  await trees.copy("/", "/everything", { directoryContents: true });
  assert.deepEqual(
    trees.names().filter((name) => !name.startsWith("link/")),
    [
      "everything",
      "everything/dir",
      "everything/dir/file",
      "link",
      "made",
      "made/file",
      "new",
      "new/name",
      "there",
      "there/dir",
      "there/dir/file",
      "there/file",
      "whole",
      "whole/file",
    ],
  );
  await assert.rejects(trees.copy("/none", "/x"), hasText("lstat /none: no such file or directory"));
  await assert.rejects(
    trees.copy("/dir", "/no/x", { createDestinationPath: false }),
    hasText("failed to stat /no/x: lstat /no: no such file or directory"),
  );
});

test("copy keeps owner, mode, nanoseconds, attributes and hard links, and overrides them", { skip }, async () => {
  using trees = new Trees({ "dir/a": "text", "dir/link": "-> nowhere" });
  const a = join(trees.source, "dir/a");
  chownSync(a, 11, 12);
  chmodSync(a, 0o4751);
  setXattr(a, "user.test", Buffer.from("value"));
  utimesSync(a, 1, 1_600_000_000.5);
  linkSync(a, join(trees.source, "dir/b"));
  await trees.copy("/dir", "/same");
  const { ino, mtimeNs, ...rest } = trees.lstat("same/a");
  assert.deepEqual(rest, { mode: 0o4751, uid: 11, gid: 12 });
  assert.equal(mtimeNs, lstatSync(a, { bigint: true }).mtimeNs);
  assert.equal(trees.lstat("same/b").ino, ino);
  assert.equal(findXattr(join(trees.target, "same/a"), "user.test")?.toString(), "value");
  assert.equal(readlinkSync(join(trees.target, "same/link")), "nowhere");
  assert.equal(trees.lstat("same").mtimeNs, lstatSync(join(trees.source, "dir"), { bigint: true }).mtimeNs);
  await trees.copy("/dir", "/other", { owner: { uid: 1, gid: 2 }, mode: "u=rwX,go=", timestampNs: 7n });
  assert.deepEqual({ ...trees.lstat("other/a"), ino: 0n }, { mode: 0o700, uid: 1, gid: 2, mtimeNs: 7n, ino: 0n });
  assert.equal(trees.lstat("other").mtimeNs, 7n);
  assert.equal(trees.lstat("other/link").uid, 1);
  await trees.copy("/dir/a", "/octal", { mode: 0o600 });
  assert.equal(trees.lstat("octal").mode, 0o600);
});

test("copy selects by wildcards, include and exclude patterns", async () => {
  using trees = new Trees({ "src/a.ts": "", "src/b.js": "", "src/deep/c.ts": "", "docs/d.md": "", "other/e": "" });
  await trees.copy("/src/*.ts", "/wild/", { allowWildcard: true });
  await trees.copy("/*/[ab].*", "/wild/", { allowWildcard: true });
  await trees.copy("/", "/inc", { directoryContents: true, includePatterns: ["**/*.ts"] });
  await trees.copy("/", "/exc", { directoryContents: true, excludePatterns: ["src", "!src/deep", "docs/**"] });
  assert.deepEqual(trees.names(), [
    "exc",
    "exc/docs",
    "exc/other",
    "exc/other/e",
    "exc/src",
    "exc/src/deep",
    "exc/src/deep/c.ts",
    "inc",
    "inc/src",
    "inc/src/a.ts",
    "inc/src/deep",
    "inc/src/deep/c.ts",
    "wild",
    "wild/a.ts",
    "wild/b.js",
  ]);
  await trees.copy("/none*", "/x", { allowWildcard: true, allowEmptyWildcard: true });
  await assert.rejects(trees.copy("/none*", "/x", { allowWildcard: true }), hasText("/none* not found"));
  await assert.rejects(
    trees.copy("/", "/x", { includePatterns: ["["] }),
    hasText("invalid includepatterns: [[]: syntax error in pattern"),
  );
});

test("copy replaces what is in the way only where that is wanted", async () => {
  using trees = new Trees({ "a/name/x": "", "b/name": "file", "c/name": "-> x" }, { "t/name": "old", "d/name/y": "" });
  await assert.rejects(
    trees.copy("/a", "/t", { directoryContents: true }),
    hasText("cannot copy to non-directory: /t/name"),
  );
  await assert.rejects(
    trees.copy("/b", "/d", { directoryContents: true }),
    hasText("cannot replace to directory /d/name with file"),
  );
  await trees.copy("/a", "/t", { directoryContents: true, alwaysReplaceExisting: true });
  await trees.copy("/b", "/d", { directoryContents: true, alwaysReplaceExisting: true });
  assert.deepEqual(trees.names(), ["d", "d/name", "t", "t/name", "t/name/x"]);
  await trees.copy("/c", "/d", { directoryContents: true });
  assert.equal(readlinkSync(join(trees.target, "d/name")), "x");
});

test("copy follows symbolic links inside the tree only", async () => {
  using trees = new Trees({ "real/f": "text", link: "-> /real/f", out: "-> ../../../../etc/hostname" });
  await trees.copy("/link", "/followed", { followSymlink: true });
  await trees.copy("/link", "/kept");
  assert.equal(trees.read("followed"), "text");
  assert.equal(readlinkSync(join(trees.target, "kept")), "/real/f");
  await assert.rejects(
    trees.copy("/out", "/x", { followSymlink: true }),
    hasText("lstat /etc/hostname: no such file or directory"),
  );
});

test("copy keeps names that are not UTF-8, FIFOs and sparse lengths", { skip }, async () => {
  using trees = new Trees({ "dir/big": "" });
  using root = RootedDirectory.open(join(trees.source, "dir"));
  openAt({ fd: root.fd, path: Buffer.from([0x66, 0xff]) }, 0o101, 0o644);
  mknodAt({ fd: root.fd, path: "fifo" }, S_IFIFO | 0o600, { major: 0, minor: 0 });
  await trees.copy("/dir", "/to");
  using target = RootedDirectory.open(join(trees.target, "to"));
  assert.deepEqual(
    target.readdir("/"),
    ["big", Buffer.from([0x66, 0xff]), "fifo"].toSorted((a, b) =>
      Buffer.compare(Buffer.from(a as string), Buffer.from(b as string)),
    ),
  );
  assert.equal(lstatSync(join(trees.target, "to/fifo")).isFIFO(), true);
});

test("copy unpacks archives of all kinds where that is wanted, and copies what is none", { skip }, async () => {
  using trees = new Trees({ "tree/dir/file": "content", "tree/link": "-> dir", plain: "no archive", empty: "" });
  const tar = (flags: string, name: string): void => {
    execFileSync("tar", [flags, join(trees.source, name), "-C", join(trees.source, "tree"), "."]);
  };
  for (const [flags, name] of [
    ["-cf", "a.tar"],
    ["-czf", "a.tar.gz"],
    ["-cjf", "a.tar.bz2"],
    ["-cJf", "a.tar.xz"],
  ] as const) {
    tar(flags, name);
    await trees.copy(`/${name}`, `/${name}/`, { unpackArchives: true, owner: { uid: 3, gid: 4 } });
    assert.equal(trees.read(`${name}/link/file`), "content", name);
    assert.equal(trees.lstat(`${name}/dir/file`).uid, 3);
  }
  await trees.copy("/plain", "/", { unpackArchives: true });
  await trees.copy("/empty", "/", { unpackArchives: true });
  await trees.copy("/a.tar", "/copied.tar");
  assert.equal(trees.read("plain"), "no archive");
  assert.equal(statSync(join(trees.target, "copied.tar")).isFile(), true);
});

test("unpacking never leaves the destination", { skip }, async () => {
  using trees = new Trees({ "t/evil": "-> /", "t2/evil/pwned": "x" }, { "dest/": "" });
  execFileSync("tar", ["-cf", join(trees.source, "a.tar"), "-C", join(trees.source, "t"), "evil"]);
  execFileSync("tar", ["-rf", join(trees.source, "a.tar"), "-C", join(trees.source, "t2"), "evil/pwned"]);
  await trees.copy("/a.tar", "/dest/", { unpackArchives: true });
  assert.equal(trees.read("dest/pwned"), "x");
  assert.deepEqual(readdirSync(trees.target), ["dest"]);
  assert.deepEqual(readdirSync(join(trees.target, "dest")), ["evil", "pwned"]);
});

test("unpacking sets no attribute by which overlay would show something else", { skip }, async () => {
  using trees = new Trees({}, { "dest/": "" });
  const xattrs = new Map([
    ["trusted.overlay.redirect", Buffer.from("/etc")],
    ["user.overlay.opaque", Buffer.from("y")],
    ["user.kept", Buffer.from("1")],
  ]);
  const header = { name: "d/", type: "directory", mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSeconds: 1 } as const;
  writeFileSync(join(trees.source, "a.tar"), Buffer.concat([encodeTarHeader({ ...header, xattrs }), tarEnd]));
  await trees.copy("/a.tar", "/dest/", { unpackArchives: true });
  const made = join(trees.target, "dest/d");
  assert.equal(findXattr(made, "trusted.overlay.redirect"), undefined);
  assert.equal(findXattr(made, "user.overlay.opaque"), undefined);
  assert.equal(findXattr(made, "user.kept")?.toString(), "1");
});

test("resolveOwner() reads passwd and group of a tree, and takes unknown names for root", async () => {
  using trees = new Trees(
    { "etc/passwd": "root:x:0:0::/:/bin/sh\nuser:x:1000:1001:::\n", "etc/group": "staff:x:50:user\n" },
    { "etc/": "" },
  );
  const look = async (owner: Parameters<typeof backend.resolveOwner>[0]): Promise<unknown> =>
    await backend.resolveOwner(owner, trees.source);
  assert.deepEqual(await look({ user: "user" }), { uid: 1000, gid: 1001 });
  assert.deepEqual(await look({ user: "user", group: "staff" }), { uid: 1000, gid: 50 });
  assert.deepEqual(await look({ user: 7 }), { uid: 7, gid: 7 });
  assert.deepEqual(await look({ user: 7, group: 8 }), { uid: 7, gid: 8 });
  assert.deepEqual(await look({ user: "nobody" }), { uid: 0, gid: 0 });
  assert.deepEqual(await backend.resolveOwner({ user: "user" }, trees.target), { uid: 0, gid: 0 });
});

test("apply() stops soon after an abort", async () => {
  using trees = new Trees(Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`d/${index}`, ""])));
  const controller = new AbortController();
  const running = backend.apply(
    { ...copyDefaults, source: "/d", destination: "/x" },
    { target: trees.target, source: trees.source },
    { signal: controller.signal },
  );
  // Not before the thread has the call.
  setTimeout(() => controller.abort(new Error("stop")), 1);
  await assert.rejects(running, /stop/);
});
