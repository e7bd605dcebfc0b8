import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { type Mount, withMounts } from "@buildkit-ts/mount";
import type { Snapshotter } from "../snapshotter.ts";

const { signal } = new AbortController();

/** A tree as text: `dir/` for directories, the content of files, `-> target` for symbolic links. */
export type TreeText = Readonly<Record<string, string>>;

/**
 * The contract of {@linkcode Snapshotter} as tests; mounting needs root.
 *
 * @param factory Makes an empty snapshotter that ends with the test.
 */
export function snapshotterSuite(name: string, factory: (t: TestContext) => Promise<Snapshotter>): void {
  const skip = process.getuid?.() === 0 ? false : "mounting needs root";
  describe(`${name} snapshotter`, { skip }, () => {
    test("commit() makes what was written a parent, and children do not change it", async (t) => {
      const snapshots = await factory(t);
      await makeLayer(snapshots, { name: "a", write: { "dir/": "", "dir/file": "one", other: "x" } });
      await makeLayer(snapshots, { name: "b", parent: "a", write: { "dir/file": "two" }, remove: ["other"] });
      assert.deepEqual(await readSnapshot(snapshots, "a"), { "dir/": "", "dir/file": "one", other: "x" });
      assert.deepEqual(await readSnapshot(snapshots, "b"), { "dir/": "", "dir/file": "two" });
      assert.deepEqual(await snapshots.find("b"), { name: "b", kind: "committed", parent: "a" });
      assert.equal(await snapshots.find("active b"), undefined);
    });

    test("view() shows a parent, or nothing, and cannot be written to", async (t) => {
      const snapshots = await factory(t);
      await makeLayer(snapshots, { name: "a", write: { file: "one" } });
      for (const [key, parent] of [
        ["view a", "a"],
        ["view nothing", undefined],
      ] as const) {
        await withMounts(await snapshots.view(key, parent), { signal }, async (path) => {
          assert.throws(() => writeFileSync(join(path, "new"), ""), { code: "EROFS" });
          assert.equal(readdirSync(path).length, parent === undefined ? 0 : 1);
        });
        await assert.rejects(snapshots.commit("x", key), { code: "failed_precondition" });
        await snapshots.remove(key);
      }
    });

    test("names are unique, and those that are missing or in use are told apart", async (t) => {
      const snapshots = await factory(t);
      await makeLayer(snapshots, { name: "a", write: {} });
      await snapshots.prepare("active", "a");
      await assert.rejects(snapshots.prepare("a", undefined), { code: "already_exists" });
      await assert.rejects(snapshots.view("active", undefined), { code: "already_exists" });
      await assert.rejects(snapshots.commit("a", "active"), { code: "already_exists" });
      await assert.rejects(snapshots.prepare("b", "missing"), { code: "not_found" });
      await assert.rejects(snapshots.prepare("b", "active"), { code: "failed_precondition" });
      await assert.rejects(snapshots.mounts("missing"), { code: "not_found" });
      await assert.rejects(snapshots.remove("missing"), { code: "not_found" });
      await assert.rejects(snapshots.remove("a"), { code: "failed_precondition" });
      await snapshots.remove("active");
      await snapshots.remove("a");
      assert.equal((await Array.fromAsync(snapshots.walk())).length, 0);
    });

    test("mounts() gives an active snapshot again with what was written", async (t) => {
      const snapshots = await factory(t);
      await withMounts(await snapshots.prepare("k", undefined), { signal }, async (path) =>
        writeFileSync(join(path, "f"), "1"),
      );
      await withMounts(await snapshots.mounts("k"), { signal }, async (path) => writeFileSync(join(path, "g"), "2"));
      await snapshots.commit("n", "k");
      assert.deepEqual(await readSnapshot(snapshots, "n"), { f: "1", g: "2" });
    });

    attributesSuite(factory);
    mergeSuite(factory);
  });
}

function attributesSuite(factory: (t: TestContext) => Promise<Snapshotter>): void {
  test("usage() counts allocated blocks, and each inode once", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "a", write: { file: "x".repeat(100_000) } });
    const usage = await snapshots.usage("a", { signal });
    assert.ok(usage.sizeBytes >= 100_000 && usage.sizeBytes < 200_000, `${usage.sizeBytes}`);
    // The file, and the snapshotter's own directories.
    assert.ok(usage.inodes >= 2 && usage.inodes <= 4, `${usage.inodes}`);
    assert.deepEqual(await snapshots.usage("a", { signal }), usage);
  });

  test("a committed root keeps owner and mode in its children", async (t) => {
    const snapshots = await factory(t);
    await withMounts(await snapshots.prepare("k", undefined), { signal }, async (path) => {
      chownSync(path, 12, 34);
      chmodSync(path, 0o1770);
    });
    await snapshots.commit("a", "k");
    await withMounts(await snapshots.prepare("l", "a"), { signal }, async (path) => {
      const stat = lstatSync(path);
      assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777], [12, 34, 0o1770]);
    });
  });
}

function mergeSuite(factory: (t: TestContext) => Promise<Snapshotter>): void {
  test("merge() lays snapshots one over the other, lowest first", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, {
      name: "a",
      write: { "dir/": "", "dir/a": "a", same: "a", "kind/": "", "kind/a": "a" },
    });
    await makeLayer(snapshots, {
      name: "b",
      write: { "dir/": "", "dir/b": "b", same: "b", kind: "b", link: "-> nowhere" },
    });
    await snapshots.merge("m", ["a", "b"], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "m"), {
      "dir/": "",
      "dir/a": "a",
      "dir/b": "b",
      kind: "b",
      link: "-> nowhere",
      same: "b",
    });
    await snapshots.merge("n", ["b", "a"], { signal });
    assert.equal((await readSnapshot(snapshots, "n"))["kind/a"], "a");
    assert.deepEqual(await readSnapshot(snapshots, "a"), {
      "dir/": "",
      "dir/a": "a",
      "kind/": "",
      "kind/a": "a",
      same: "a",
    });
    await assert.rejects(snapshots.merge("m", ["a"], { signal }), { code: "already_exists" });
    await assert.rejects(snapshots.merge("o", ["a", "missing"], { signal }), { code: "not_found" });
    await assert.rejects(snapshots.merge("o", [], { signal }), { code: "invalid_argument" });
  });

  test("merge() deletes what a layer deletes, also where only what is below has it", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "base", write: { "d/": "", "d/gone": "1", "d/kept": "1", file: "1" } });
    await makeLayer(snapshots, { name: "b1", write: { "d/": "", "d/gone": "2", file: "2" } });
    await makeLayer(snapshots, { name: "b2", parent: "b1", write: {}, remove: ["d/gone", "file"] });
    await snapshots.merge("m", ["base", "b2"], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "m"), { "d/": "", "d/kept": "1" });
  });

  test("merge() hides old content of a directory that was deleted and made again", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "base", write: { "d/": "", "d/old": "1" } });
    await makeLayer(snapshots, { name: "b1", write: { "d/": "", "d/x": "1" } });
    await makeLayer(snapshots, { name: "b2", parent: "b1", write: {}, remove: ["d"] });
    await makeLayer(snapshots, { name: "b3", parent: "b2", write: { "d/": "", "d/new": "1" } });
    await snapshots.merge("m", ["base", "b3"], { signal });
    const tree = await readSnapshot(snapshots, "m");
    assert.equal(tree["d/new"], "1");
    assert.equal(tree["d/x"], undefined);
  });

  test("merge() lets a layer delete only what its own layers below had", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "base", write: { "d/": "", "d/base": "1" } });
    await makeLayer(snapshots, { name: "a", write: { "d/": "", "d/a": "1" } });
    await makeLayer(snapshots, { name: "b1", write: { "d/": "", "d/gone": "1", "e/": "" } });
    // The directory is made again within one layer: overlay calls it opaque.
    await makeLayer(snapshots, {
      name: "b2",
      parent: "b1",
      remove: ["d"],
      write: { "d/": "", "d/b": "1", "e/f/": "" },
    });
    await snapshots.merge("m", ["base", "a", "b2"], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "m"), {
      "d/": "",
      "d/a": "1",
      "d/b": "1",
      "d/base": "1",
      "e/": "",
      "e/f/": "",
    });
  });

  test("merge() applies a difference to what is below it: what it adds, changes and deletes", async (t) => {
    const snapshots = await factory(t);
    const same = { "dir/": "", "dir/same": "s" };
    await makeLayer(snapshots, {
      name: "a1",
      write: { ...same, "dir/gone": "1", "dir/changed": "1", "old/": "", "old/x": "" },
    });
    await makeLayer(snapshots, {
      name: "a2",
      parent: "a1",
      remove: ["dir/gone", "old"],
      write: { "dir/changed": "2", "new/": "", "new/file": "n" },
    });
    await makeLayer(snapshots, {
      name: "base",
      write: { "dir/": "", "dir/gone": "base", "dir/kept": "base", "old/": "" },
    });
    await snapshots.merge("m", ["base", { lower: "a1", upper: "a2" }], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "m"), {
      "dir/": "",
      "dir/changed": "2",
      "dir/kept": "base",
      "new/": "",
      "new/file": "n",
    });
    await snapshots.merge("alone", [{ lower: "a1", upper: "a2" }], { signal });
    assert.deepEqual(Object.keys(await readSnapshot(snapshots, "alone")), ["dir/", "dir/changed", "new/", "new/file"]);
  });

  test("merge() compares trees of which neither is built on the other", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, {
      name: "root",
      write: { "untouched/": "", "untouched/file": "", "d/": "", "d/same": "s" },
    });
    await makeLayer(snapshots, {
      name: "lower",
      parent: "root",
      write: { "d/lower": "l", both: "lower", "x/": "", "x/y": "" },
    });
    await makeLayer(snapshots, { name: "upper", parent: "root", write: { "d/upper": "u", both: "upper", x: "file" } });
    await snapshots.merge("m", [{ lower: "lower", upper: "upper" }], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "m"), { both: "upper", "d/": "", "d/upper": "u", x: "file" });
    await snapshots.merge("n", ["lower", { lower: "lower", upper: "upper" }], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "n"), await readSnapshot(snapshots, "upper"));
    await snapshots.merge("o", ["lower", { lower: "lower", upper: undefined }], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "o"), {});
  });

  test("merge() can be a parent and be removed with its sources in any order", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "a", write: { a: "1" } });
    await makeLayer(snapshots, { name: "b", write: { b: "1" } });
    await snapshots.merge("m", ["a", "b"], { signal });
    await snapshots.remove("b");
    await makeLayer(snapshots, { name: "c", parent: "m", write: { b: "changed" } });
    assert.deepEqual(await readSnapshot(snapshots, "c"), { a: "1", b: "changed" });
    assert.deepEqual(await readSnapshot(snapshots, "m"), { a: "1", b: "1" });
    for (const name of ["c", "m", "a"]) await snapshots.remove(name);
  });
}

/** Commits a layer with these entries written and removed. */
export async function makeLayer(
  snapshots: Snapshotter,
  layer: {
    readonly name: string;
    readonly parent?: string;
    readonly write: TreeText;
    readonly remove?: readonly string[];
  },
): Promise<void> {
  const key = `active ${layer.name}`;
  await withMounts(await snapshots.prepare(key, layer.parent), { signal }, async (path) => {
    for (const name of layer.remove ?? []) rmSync(join(path, name), { recursive: true });
    for (const [name, content] of Object.entries(layer.write)) {
      if (name.endsWith("/")) mkdirSync(join(path, name), { recursive: true });
      else if (content.startsWith("-> ")) symlinkSync(content.slice(3), join(path, name));
      else writeFileSync(join(path, name), content);
    }
  });
  await snapshots.commit(layer.name, key);
}

/** What a committed snapshot shows. */
export async function readSnapshot(snapshots: Snapshotter, name: string): Promise<TreeText> {
  const key = `view ${name}`;
  const mounts: Mount[] = await snapshots.view(key, name);
  try {
    return await withMounts(mounts, { signal }, async (path) => readTree(path));
  } finally {
    await snapshots.remove(key);
  }
}

function readTree(path: string): TreeText {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" }).toSorted()) {
    const stat = lstatSync(join(path, name));
    if (stat.isDirectory()) tree[`${name}/`] = "";
    else if (stat.isSymbolicLink()) tree[name] = `-> ${readlinkSync(join(path, name))}`;
    else tree[name] = readFileSync(join(path, name), "utf8");
  }
  return tree;
}
