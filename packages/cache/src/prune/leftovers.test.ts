import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ManualClock } from "@buildkit-ts/async/testing";
import { digestOf } from "@buildkit-ts/oci";
import { MS_BIND, mountSync, umountSync } from "@buildkit-ts/sys";
import { commitTree, makeTestRoot, openTestCache, quiet } from "../testing/index.ts";
import { StagedTrees } from "../trees/staged-trees.ts";

const { signal } = quiet;
const everything = { keepDurationMs: 0, reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
const blobBytes = 8 << 20;
const skip = process.getuid?.() === 0 ? false : "mounting needs root";

/** Makes a file or a directory one that cannot be removed. @returns what ends that. */
function makeBusy(t: TestContext, path: string): () => void {
  mountSync({ source: path, target: path, flags: MS_BIND });
  let isMounted = true;
  const end = (): void => {
    if (isMounted) umountSync(path, 0);
    isMounted = false;
  };
  t.after(end);
  return end;
}

test("blobs that cannot be deleted count as used until they are, and are tried again", { skip }, async (t) => {
  using root = makeTestRoot();
  const clock = new ManualClock();
  await using opened = await openTestCache(root.path, "overlay", clock);
  const { cache, content, reported } = opened;
  const digest = await writeBlob();
  const usedBytes = async (): Promise<number> => (await cache.measureSpace(quiet)).usedBytes;
  const [path, before] = [content.pathOf(digest), await usedBytes()];
  const endBusy = makeBusy(t, path);
  await cache.unpinBlobs("owner");
  assert.match(String(reported), /^BuildError: Cannot delete blob "sha256:[0-9a-f]+": EBUSY[^,]*,[^,]*$/);
  assert.ok((await usedBytes()) > before - blobBytes / 2);
  await clock.whenSleeping(1000);
  await clock.advance(1000);
  await clock.whenSleeping(2000);
  assert.ok((await usedBytes()) > before - blobBytes / 2);
  endBusy();
  await clock.advance(1000);
  assert.ok((await usedBytes()) < before - blobBytes / 2);
  assert.deepEqual([existsSync(path), reported.length], [false, 1]);

  async function writeBlob(): Promise<ReturnType<typeof digestOf>> {
    const blob = Buffer.alloc(blobBytes, 1);
    await cache.pinBlobs("owner", [digestOf(blob)]);
    await using writer = await content.openWriter({ signal });
    await writer.write(blob);
    return (await writer.commit({})).digest;
  }
});

test("a blob that could not be deleted, and is named again meanwhile, stays", { skip }, async (t) => {
  using root = makeTestRoot();
  const clock = new ManualClock();
  await using opened = await openTestCache(root.path, "overlay", clock);
  const { cache, content } = opened;
  const digest = digestOf(Buffer.from("text"));
  await cache.pinBlobs("owner", [digest]);
  {
    await using writer = await content.openWriter({ signal });
    await writer.write(Buffer.from("text"));
    await writer.commit({});
  }
  const endBusy = makeBusy(t, content.pathOf(digest));
  await cache.unpinBlobs("owner");
  await cache.pinBlobs("other", [digest]);
  endBusy();
  await clock.whenSleeping(1000);
  await clock.advance(1000);
  await cache.measureSpace(quiet);
  assert.notEqual(await content.findIntact(digest), undefined);
});

test("a record whose files cannot be removed goes with its blobs, and its files later", { skip }, async (t) => {
  using root = makeTestRoot();
  const clock = new ManualClock();
  await using opened = await openTestCache(root.path, "overlay", clock);
  const { cache, content, snapshotter, reported } = opened;
  const ref = await commitTree(cache, undefined, { run: (directory) => mkdirSync(join(directory, "d")) });
  await ref.remote({ type: "gzip", ociMediaTypes: true }, quiet);
  const files = (await snapshotter.upperDir(ref.id)) ?? "";
  const endBusy = makeBusy(t, join(files, "d"));
  await ref[Symbol.asyncDispose]();
  const gone = await Array.fromAsync(cache.prune({ ...everything, filters: [], all: true, signal }));
  assert.equal(gone.length, 1);
  assert.deepEqual(await Array.fromAsync(content.walk()), []);
  assert.ok((await snapshotter.leftoverBytes({ signal })) > 0);
  endBusy();
  await clock.whenSleeping(1000);
  await clock.advance(1000);
  assert.equal(await snapshotter.leftoverBytes({ signal }), 0);
  assert.deepEqual([existsSync(files), reported.length], [false, 1]);
});

test("StagedTrees.remove() tries again what cannot be removed", { skip }, async (t) => {
  using root = makeTestRoot();
  const [clock, reported] = [new ManualClock(), [] as string[]];
  const reporter = { report: (error: unknown) => void reported.push(String(error)) };
  await using staged = new StagedTrees(root.path, { clock, reporter });
  const path = staged.newPath();
  mkdirSync(join(path, "d"), { recursive: true });
  writeFileSync(join(path, "d/file"), Buffer.alloc(100_000, 1));
  const endBusy = makeBusy(t, join(path, "d"));
  await staged.remove(path);
  assert.match(String(reported), /^BuildError: Cannot remove unpacked layer "[^"]*": EBUSY/);
  assert.ok((await staged.leftoverBytes()) >= 4096);
  endBusy();
  await clock.whenSleeping(1000);
  await clock.advance(1000);
  assert.deepEqual([await staged.leftoverBytes(), existsSync(path), reported.length], [0, false, 1]);
});
