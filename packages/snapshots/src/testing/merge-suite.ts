import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { withMounts } from "@buildkit-ts/mount";
import type { Snapshotter } from "../snapshotter.ts";
import { makeLayer, readSnapshot } from "./layer-trees.ts";

const { signal } = new AbortController();

/** What every snapshotter does when it merges. */
export function mergeSuite(factory: (t: TestContext) => Promise<Snapshotter>): void {
  differenceSuite(factory);
  comparisonSuite(factory);
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
}

function differenceSuite(factory: (t: TestContext) => Promise<Snapshotter>): void {
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
}

function comparisonSuite(factory: (t: TestContext) => Promise<Snapshotter>): void {
  test("merge() leaves out directories that a layer only looked into", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "a", write: { "d/": "", "d/e/": "", "d/e/file": "" } });
    // The directories are copied up for a file that is gone again: a mount point does that.
    await makeLayer(snapshots, { name: "b", parent: "a", write: { "d/e/stub": "" } });
    await makeLayer(snapshots, { name: "c", parent: "b", remove: ["d/e/stub"], write: { new: "" } });
    await snapshots.merge("m", [{ lower: "a", upper: "c" }], { signal });
    assert.deepEqual(Object.keys(await readSnapshot(snapshots, "m")), ["d/", "d/e/", "new"]);
    await makeLayer(snapshots, { name: "d", parent: "c", write: { "d/e/x": "" } });
    await snapshots.prepare("active e", "d");
    await withMounts(await snapshots.mounts("active e"), { signal }, async (path) => {
      writeFileSync(join(path, "d/e/stub"), "");
      rmSync(join(path, "d/e/stub"));
    });
    await snapshots.commit("e", "active e");
    await snapshots.merge("n", [{ lower: "d", upper: "e" }], { signal });
    assert.deepEqual(await readSnapshot(snapshots, "n"), {});
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
