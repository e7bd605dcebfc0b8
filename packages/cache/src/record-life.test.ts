import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ContentProvider, type ContentStore, MemoryContentStore } from "@buildkit-ts/content";
import { type DiffId, type Digest, digestOf, mediaTypes } from "@buildkit-ts/oci";
import type { BlobLayer, CompressionOptions } from "./refs.ts";
import { commitTree, listRoot, makeTestRoot, openTestCache, quiet, readTree } from "./testing/index.ts";

const { signal } = quiet;
const gzip: CompressionOptions = { type: "gzip", ociMediaTypes: true };
const named = (description: string): { signal: AbortSignal; description: string } => ({ signal, description });
const write =
  (name: string, text = name) =>
  (directory: string): void =>
    writeFileSync(join(directory, name), text);

test("a mutable ref is one holder's, and is kept only if it shall be", async () => {
  using root = makeTestRoot();
  let kept: string;
  let dropped: string;
  {
    await using opened = await openTestCache(root.path);
    const { cache } = opened;
    await using retained = await cache.create(undefined, {
      ...named("kept"),
      retain: true,
      recordType: "exec.cachemount",
    });
    await using temporary = await cache.create(undefined, named("dropped"));
    kept = retained.id;
    dropped = temporary.id;
    await assert.rejects(cache.getMutable(kept, { signal }), { code: "failed_precondition" });
    await assert.rejects(cache.get(kept, { signal }), { code: "not_found" });
  }
  await using opened = await openTestCache(root.path);
  const { cache } = opened;
  await using again = await cache.getMutable(kept, { signal });
  assert.equal(again.id, kept);
  await assert.rejects(cache.getMutable(dropped, { signal }), { code: "not_found" });
  assert.equal((await Array.fromAsync(opened.snapshotter.walk())).length, 1);
});

test("a mounted mutable ref cannot be committed, and a committed one is used up", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  await using mutable = await opened.cache.create(undefined, named("x"));
  const held = await mutable.mount({ signal });
  await assert.rejects(mutable.commit(), { code: "failed_precondition" });
  await held[Symbol.asyncDispose]();
  await using ref = await mutable.commit();
  assert.equal(ref.id, mutable.id);
  await assert.rejects(mutable.commit(), { code: "failed_precondition" });
  await assert.rejects(mutable.mount({ signal }), { code: "failed_precondition" });
});

test("of a tree whose record cannot be stored nothing is left", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache, database, snapshotter } = opened;
  const failing = (statement: "INSERT" | "UPDATE"): Disposable => {
    const fail = "BEGIN SELECT RAISE(FAIL, 'the disk is full'); END";
    database.run(`CREATE TEMP TRIGGER full BEFORE ${statement} ON cache_record ${fail}`);
    return { [Symbol.dispose]: () => void database.run("DROP TRIGGER full") };
  };
  {
    using _full = failing("INSERT");
    await assert.rejects(cache.create(undefined, named("x")), /the disk is full/);
  }
  {
    await using mutable = await cache.create(undefined, named("x"));
    using _full = failing("UPDATE");
    await assert.rejects(mutable.commit(), /the disk is full/);
    await assert.rejects(mutable.commit(), { code: "failed_precondition" });
  }
  const tree = await commitTree(cache, undefined, { run: write("a") });
  {
    using _full = failing("INSERT");
    await assert.rejects(cache.takeOver(tree, named("x")), /the disk is full/);
  }
  await tree[Symbol.asyncDispose]();
  assert.deepEqual(await cache.diskUsage({ signal }), []);
  assert.deepEqual(await Array.fromAsync(snapshotter.walk()), []);
});

test("a transient ref goes with its last hold, and is not brought back", async () => {
  using root = makeTestRoot();
  let id: string;
  {
    await using opened = await openTestCache(root.path);
    const { cache, snapshotter } = opened;
    const first = await (await cache.create(undefined, named("x"))).commit({ transient: true });
    const second = first.clone();
    await first[Symbol.asyncDispose]();
    await using again = await cache.get(second.id, { signal });
    await again[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    await assert.rejects(cache.get(second.id, { signal }), { code: "not_found" });
    assert.deepEqual(await Array.fromAsync(snapshotter.walk()), []);
    // Held until the end, as by a build that is interrupted.
    id = (await (await cache.create(undefined, named("y"))).commit({ transient: true })).id;
  }
  await using opened = await openTestCache(root.path);
  await assert.rejects(opened.cache.get(id, { signal }), { code: "not_found" });
  assert.deepEqual(await Array.fromAsync(opened.snapshotter.walk()), []);
});

test("after a crash, what misses something is gone with all that was built on it", async () => {
  using root = makeTestRoot();
  const ids: string[] = [];
  {
    await using opened = await openTestCache(root.path);
    const { cache, snapshotter, content } = opened;
    await using whole = await commitTree(cache, undefined, { run: write("whole") });
    const broken = await commitTree(cache, undefined, { run: write("broken") });
    const child = await cache.merge([broken, whole], named("child"));
    ids.push(whole.id, broken.id, child.id);
    // As if the daemon had been killed in the middle of things.
    await snapshotter.remove(broken.id);
    await snapshotter.prepare("stray", whole.id);
    await using writer = await content.openWriter({ signal });
    await writer.write(Buffer.from("stray"));
    await writer.commit({});
    await cache.pinBlobs("history", [await put(content, "kept")]);
    await cache.pinBlobs("lease-x", [await put(content, "leased")]);
  }
  await using opened = await openTestCache(root.path);
  const found = await Promise.allSettled(ids.map(async (id) => await opened.cache.get(id, { signal })));
  assert.deepEqual(
    found.map(({ status }) => status),
    ["fulfilled", "rejected", "rejected"],
  );
  const snapshots = (await Array.fromAsync(opened.snapshotter.walk())).map(({ name }) => name);
  assert.deepEqual(snapshots, [ids[0]]);
  assert.equal((await Array.fromAsync(opened.content.walk())).length, 1, "only the pinned blob is kept");
});

test("layers that only claim another image's ChainID do not take its place", async () => {
  using root = makeTestRoot();
  using otherRoot = makeTestRoot();
  await using source = await openTestCache(otherRoot.path);
  await using ref = await commitTree(source.cache, undefined, { run: write("good") });
  const { layers, provider } = await ref.remote(gzip, quiet);
  const [good] = layers;
  assert.ok(good);
  const evil = new MemoryContentStore();
  const digest = await put(evil, "evil");
  const claimed: BlobLayer = { diffId: good.diffId, descriptor: { ...good.descriptor, digest, size: 4 } };
  await using opened = await openTestCache(root.path);
  await using forged = await opened.cache.getByLayers([claimed], () => evil, named("forged"));
  await using honest = await opened.cache.getByLayers([good], () => provider, named("honest"));
  assert.notEqual(forged.id, honest.id);
  await assert.rejects(forged.extract(quiet));
  assert.equal(forged.isLazy, true);
  assert.deepEqual(await listRoot(honest), ["good"]);
  const leftovers = (await Array.fromAsync(opened.snapshotter.walk())).map(({ name }) => name);
  assert.deepEqual(leftovers, [honest.id]);
});

test("directories that a layer only implies keep what they are below, though layers are unpacked side by side", async () => {
  using root = makeTestRoot();
  using otherRoot = makeTestRoot();
  await using source = await openTestCache(otherRoot.path);
  const chmodded = (directory: string): void => {
    mkdirSync(join(directory, "d/e"), { recursive: true });
    chmodSync(join(directory, "d/e"), 0o2770);
    chownSync(join(directory, "d/e"), 7, 8);
  };
  await using base = await commitTree(source.cache, undefined, { run: chmodded });
  const { layers, provider } = await base.remote(gzip, quiet);
  const staging = join(otherRoot.path, "files");
  mkdirSync(join(staging, "d/e"), { recursive: true });
  writeFileSync(join(staging, "d/e/file"), "");
  const tar = execFileSync("tar", ["-c", "-C", staging, "d/e/file"]);
  const diffId = digestOf(tar) as DiffId;
  const store = new MemoryContentStore();
  await put(store, tar);
  const implying: BlobLayer = {
    diffId,
    descriptor: { mediaType: mediaTypes.ociLayer, digest: diffId, size: tar.byteLength },
  };
  const lazy = (): ContentProvider => ({
    open: async (descriptor, options) =>
      await (descriptor.digest === diffId ? store : provider).open(descriptor, options),
  });
  await using opened = await openTestCache(root.path);
  await using ref = await opened.cache.getByLayers([...layers, implying], lazy, named("pulled"));
  const { mode, uid, gid } = await readTree(ref, (directory) => statSync(join(directory, "d/e")));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o2770, 7, 8]);
});

async function put(store: ContentStore, content: string | Uint8Array): Promise<Digest> {
  await using writer = await store.openWriter({ signal });
  await writer.write(Buffer.from(content as string));
  return (await writer.commit({})).digest;
}
