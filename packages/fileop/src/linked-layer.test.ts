import assert from "node:assert/strict";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { setXattr } from "@buildkit-ts/sys";
import { type CopyAction, type FileAction, ThreadedFileBackend } from "./index.ts";

const { signal } = new AbortController();
const backend = new ThreadedFileBackend();
after(async () => await backend[Symbol.asyncDispose]());

const defaults: CopyAction = {
  kind: "copy",
  source: "/",
  destination: "/",
  followSymlink: true,
  directoryContents: true,
  unpackArchives: false,
  createDestinationPath: true,
  allowWildcard: true,
  allowEmptyWildcard: true,
  includePatterns: [],
  excludePatterns: [],
  requiredPaths: [],
  alwaysReplaceExisting: false,
};

/** An immutable source, a layer, and what lies below it. */
class Layers {
  readonly source: string;
  readonly layer: string;
  readonly below: string;

  constructor(t: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), "linked-layer-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const make = (name: string): string => {
      mkdirSync(join(folder, name));
      return join(folder, name);
    };
    this.source = make("source");
    this.layer = make("layer");
    this.below = make("below");
  }

  async apply(action: Partial<CopyAction> | FileAction, inodes: readonly bigint[] = []): Promise<bigint[]> {
    const layer = { below: this.below, inodesBelow: BigUint64Array.from(inodes) };
    const whole = { ...defaults, ...action } as FileAction;
    return [...(await backend.apply(whole, { target: this.layer, source: this.source, layer }, { signal }))];
  }

  isLinked(name: string, sourceName = name): boolean {
    return inodeOf(join(this.layer, name)) === inodeOf(join(this.source, sourceName));
  }
}

function write(root: string, name: string, text: string): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

function inodeOf(path: string): bigint {
  return lstatSync(path, { bigint: true }).ino;
}

test("apply() links what a copy would not change, and leaves the source's files as they are", async (t) => {
  const trees = new Layers(t);
  const path = write(trees.source, "a/b", "text");
  const before = statSync(path, { bigint: true });
  assert.deepEqual(await trees.apply({}), [before.ino]);
  assert.ok(trees.isLinked("a/b"));
  const { mode, uid, mtimeNs, atimeNs, nlink } = statSync(path, { bigint: true });
  assert.deepEqual([mode, uid, mtimeNs, atimeNs, nlink], [before.mode, before.uid, before.mtimeNs, before.atimeNs, 2n]);
});

test("apply() copies what gets another mode, owner or time", async (t) => {
  for (const change of [{ mode: 0o711 }, { owner: { uid: 5, gid: 5 } }, { timestampNs: 5_000_000_000n }]) {
    const trees = new Layers(t);
    const path = write(trees.source, "file", "text");
    const before = statSync(path, { bigint: true });
    assert.deepEqual(await trees.apply(change), []);
    assert.equal(trees.isLinked("file"), false);
    assert.equal(readFileSync(join(trees.layer, "file"), "utf8"), "text");
    assert.deepEqual(
      { ...statSync(path, { bigint: true }), atime: 0, atimeNs: 0, atimeMs: 0 },
      { ...before, atime: 0, atimeNs: 0, atimeMs: 0 },
    );
  }
});

test("apply() copies a file with overlay's own attributes", async (t) => {
  const trees = new Layers(t);
  setXattr(write(trees.source, "file", ""), "trusted.overlay.opaque", Buffer.from("y"));
  assert.deepEqual(await trees.apply({}), []);
  assert.equal(trees.isLinked("file"), false);
});

test("apply() gives an inode no second name in a stack of layers, unless the source has it", async (t) => {
  const trees = new Layers(t);
  const path = write(trees.source, "x/one", "text");
  linkSync(path, join(trees.source, "x/two"));
  assert.deepEqual(await trees.apply({}, [inodeOf(path)]), []);
  assert.equal(trees.isLinked("x/one"), false);
  assert.equal(inodeOf(join(trees.layer, "x/one")), inodeOf(join(trees.layer, "x/two")), "one file with two names");

  const others = new Layers(t);
  linkSync(write(others.source, "one/a", "text"), join(others.source, "two"));
  assert.equal((await others.apply({ source: "/*", directoryContents: false, destination: "/to/" })).length, 1);
  assert.ok(others.isLinked("to/one/a", "one/a"));
  assert.equal(others.isLinked("to/two", "two"), false, "sources of one action are copied each for itself");
});

test("apply() writes the directories of below with all that they are, and not what they hold", async (t) => {
  const trees = new Layers(t);
  write(trees.source, "etc/new", "new");
  write(trees.below, "etc/old", "old");
  write(trees.below, "etc/deep/old", "old");
  chmodSync(join(trees.below, "etc"), 0o1751);
  setXattr(join(trees.below, "etc"), "user.kept", Buffer.from("1"));
  await trees.apply({});
  assert.deepEqual(readdirSync(join(trees.layer, "etc")), ["new"]);
  await trees.apply({ source: "/etc/new", destination: "/etc/deep/" });
  assert.deepEqual(readdirSync(join(trees.layer, "etc/deep")), ["new"]);

  const parents = new Layers(t);
  write(parents.source, "file", "");
  mkdirSync(join(parents.below, "opt/app"), { recursive: true });
  chmodSync(join(parents.below, "opt"), 0o1751);
  utimesSync(join(parents.below, "opt"), 5, 5);
  await parents.apply({ source: "/file", destination: "/opt/app/" });
  const { mode, mtimeMs } = statSync(join(parents.layer, "opt"));
  assert.deepEqual([mode & 0o7777, mtimeMs], [0o1751, 5000], "a parent in which nothing was made keeps its time");
});

test("apply() resolves its destination in the merged view", async (t) => {
  const trees = new Layers(t);
  write(trees.source, "file", "");
  mkdirSync(join(trees.below, "usr/lib"), { recursive: true });
  symlinkSync("usr/lib", join(trees.below, "lib"));
  symlinkSync("/lib/../../../..", join(trees.below, "out"));
  await trees.apply({ source: "/file", destination: "/lib/" });
  assert.ok(trees.isLinked("usr/lib/file", "file"));
  await trees.apply({ source: "/file", destination: "/out/x" });
  assert.equal(readFileSync(join(trees.layer, "x"), "utf8"), "");
  assert.deepEqual(readdirSync(trees.layer), ["usr", "x"], "links of below stay below");
});

test("apply() replaces files of below and of the layer by new names, never in place", async (t) => {
  const trees = new Layers(t);
  write(trees.source, "one", "1");
  write(trees.source, "two", "2");
  write(trees.below, "to", "old");
  await trees.apply({ source: "/one", destination: "/to" });
  assert.ok(trees.isLinked("to", "one"));
  await trees.apply({ source: "/two", destination: "/to" });
  assert.ok(trees.isLinked("to", "two"));
  const texts = [trees.source, trees.below].map((root) =>
    readdirSync(root).map((name) => readFileSync(join(root, name), "utf8")),
  );
  assert.deepEqual(texts, [["1", "2"], ["old"]]);
});

test("apply() refuses kinds to be exchanged, as in a mounted tree", async (t) => {
  const trees = new Layers(t);
  write(trees.source, "a/file", "");
  write(trees.source, "b", "");
  write(trees.below, "a", "no directory");
  mkdirSync(join(trees.below, "b"));
  await assert.rejects(trees.apply({ source: "/a", destination: "/a" }), /not a directory|non-directory/);
  await assert.rejects(trees.apply({ includePatterns: ["b"] }), /cannot replace to directory \/b with file/);
});

test("apply() refuses in an unmounted layer what would need whiteouts", async (t) => {
  const trees = new Layers(t);
  for (const action of [
    { kind: "rm", path: "/x", allowNotFound: true, allowWildcard: false },
    { ...defaults, alwaysReplaceExisting: true },
    { ...defaults, unpackArchives: true },
  ] as const) {
    await assert.rejects(trees.apply(action), { code: "invalid_argument" });
  }
});
