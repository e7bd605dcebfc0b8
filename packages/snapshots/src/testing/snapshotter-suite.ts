import assert from "node:assert/strict";
import { chmodSync, chownSync, lstatSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { withMounts } from "@buildkit-ts/mount";
import type { Snapshotter } from "../snapshotter.ts";
import { makeLayer, readSnapshot } from "./layer-trees.ts";
import { mergeSuite } from "./merge-suite.ts";

const { signal } = new AbortController();

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

    test("findMissing() names the lowest one whose files somebody has deleted", async (t) => {
      const snapshots = await factory(t);
      await makeLayer(snapshots, { name: "a", write: { file: "one" } });
      await makeLayer(snapshots, { name: "b", parent: "a", write: { other: "two" } });
      assert.equal(await snapshots.findMissing("b"), undefined);
      const [mount] = await snapshots.view("view a", "a");
      await snapshots.remove("view a");
      rmSync(mount?.source ?? "", { recursive: true });
      assert.equal(await snapshots.findMissing("a"), "a");
      assert.equal(await snapshots.findMissing("b"), "a");
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

    reopenSuite(factory);
    attributesSuite(factory);
    mergeSuite(factory);
  });
}

function reopenSuite(factory: (t: TestContext) => Promise<Snapshotter>): void {
  test("reopen() makes a committed snapshot an active one under another name, with its files", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "a", write: { file: "one", other: "x" } });
    const before = await snapshots.usage("a", { signal });
    await snapshots.reopen("k", "a");
    assert.equal(await snapshots.find("a"), undefined);
    assert.deepEqual(await snapshots.find("k"), { name: "k", kind: "active", parent: undefined });
    await withMounts(await snapshots.mounts("k"), { signal }, async (path) => {
      rmSync(join(path, "other"));
      writeFileSync(join(path, "new"), "x".repeat(100_000));
    });
    await snapshots.commit("b", "k");
    assert.deepEqual(await readSnapshot(snapshots, "b"), { file: "one", new: "x".repeat(100_000) });
    const after = await snapshots.usage("b", { signal });
    assert.ok(after.sizeBytes > before.sizeBytes, `${before.sizeBytes}, then ${after.sizeBytes}`);
  });

  test("reopen() refuses what others are based on or look at, what is not committed, and a name that is taken", async (t) => {
    const snapshots = await factory(t);
    await makeLayer(snapshots, { name: "a", write: {} });
    await snapshots.view("view a", "a");
    await assert.rejects(snapshots.reopen("k", "a"), { code: "failed_precondition" });
    await snapshots.remove("view a");
    await snapshots.prepare("child", "a");
    await assert.rejects(snapshots.reopen("k", "a"), { code: "failed_precondition" });
    await assert.rejects(snapshots.reopen("k", "child"), { code: "failed_precondition" });
    await assert.rejects(snapshots.reopen("k", "missing"), { code: "not_found" });
    await makeLayer(snapshots, { name: "b", write: {} });
    await assert.rejects(snapshots.reopen("a", "b"), { code: "already_exists" });
    assert.equal((await snapshots.find("b"))?.kind, "committed");
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
