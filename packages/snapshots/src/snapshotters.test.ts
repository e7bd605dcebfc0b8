import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ManualClock } from "@buildkit-ts/async/testing";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { withMounts } from "@buildkit-ts/mount";
import { mountSync, umountSync } from "@buildkit-ts/sys";
import type { DirectorySnapshotterOptions } from "./directory-snapshotter.ts";
import { FuseOverlaySnapshotter } from "./fuse-overlay/fuse-overlay-snapshotter.ts";
import { NativeSnapshotter } from "./native/native-snapshotter.ts";
import { OverlaySnapshotter } from "./overlay/overlay-snapshotter.ts";
import { probeSnapshotter } from "./probe-snapshotter.ts";
import { makeLayer, readSnapshot, snapshotterSuite } from "./testing/index.ts";

const { signal } = new AbortController();
const skip = process.getuid?.() === 0 ? false : "mounting needs root";

interface Place {
  readonly root: string;
  readonly options: DirectorySnapshotterOptions;
  readonly beforeEnd: AsyncDisposable[];
}

function keep<T extends AsyncDisposable>(t: TestContext, make: (options: DirectorySnapshotterOptions) => T): T {
  const { options, beforeEnd } = makePlace(t);
  const snapshotter = make(options);
  beforeEnd.push(snapshotter);
  return snapshotter;
}

function makePlace(t: TestContext): Place {
  const root = mkdtempSync(join(tmpdir(), "snapshots-"));
  const reporter = {
    report: (error: unknown) => {
      throw error;
    },
  };
  const database = MetadataDatabase.open(join(root, "state.db"), { reporter });
  const beforeEnd: AsyncDisposable[] = [];
  t.after(async () => {
    for (const resource of beforeEnd) await resource[Symbol.asyncDispose]();
    database[Symbol.dispose]();
    rmSync(root, { recursive: true });
  });
  return { root, beforeEnd, options: { root, database, reporter } };
}

snapshotterSuite("overlay", async (t) => keep(t, (options) => new OverlaySnapshotter(options)));
if (existsSync("/dev/fuse") && existsSync("/usr/bin/fuse-overlayfs"))
  snapshotterSuite("fuse-overlayfs", async (t) => keep(t, (options) => new FuseOverlaySnapshotter(options)));
else test("fuse-overlayfs snapshotter", { skip: "fuse-overlayfs is not installed" });
snapshotterSuite("native", async (t) => keep(t, (options) => new NativeSnapshotter(options)));

test("OverlaySnapshotter forgets at its start what has no directory, and removes directories without a row", {
  skip,
}, async (t) => {
  const { root, options } = makePlace(t);
  {
    await using first = new OverlaySnapshotter(options);
    await makeLayer(first, { name: "kept", write: { file: "1" } });
    await makeLayer(first, { name: "lost", write: {} });
    await makeLayer(first, { name: "child", parent: "lost", write: {} });
    await first.prepare("active", "kept");
    await first.view("view", "kept");
  }
  rmSync(join(root, "snapshots/2"), { recursive: true });
  mkdirSync(join(root, "snapshots/leftover/fs"), { recursive: true });
  writeFileSync(join(root, "snapshots/leftover/fs/file"), "");
  const reported: string[] = [];
  const reporter = { report: (error: unknown) => void reported.push(String(error)) };
  await using second = new OverlaySnapshotter({ ...options, reporter });
  assert.match(reported.join(), /Cannot find the files of 1 snapshots/);
  assert.deepEqual(
    (await Array.fromAsync(second.walk())).map(({ name }) => name),
    ["kept", "active"],
  );
  assert.deepEqual(await readSnapshot(second, "kept"), { file: "1" });
  await second[Symbol.asyncDispose]();
  assert.equal(existsSync(join(root, "snapshots/leftover")), false);
});

test("OverlaySnapshotter forgets after a reboot what was never synced", { skip }, async (t) => {
  const { options } = makePlace(t);
  {
    await using first = new OverlaySnapshotter(options);
    await makeLayer(first, { name: "synced", write: {} });
  }
  {
    await using first = new OverlaySnapshotter(options);
    await makeLayer(first, { name: "written", parent: "synced", write: {} });
    await first.prepare("child", "written");
    // As if the machine had gone down now.
    options.database.run("UPDATE snapshot SET boot = 'earlier'");
    await using second = new OverlaySnapshotter(options);
    assert.deepEqual(
      (await Array.fromAsync(second.walk())).map(({ name }) => name),
      ["synced"],
    );
  }
});

test("OverlaySnapshotter.merge() links files, but not one file of two layers as one", { skip }, async (t) => {
  const { options } = makePlace(t);
  await using snapshots = new OverlaySnapshotter(options);
  await makeLayer(snapshots, { name: "base", write: {} });
  await makeLayer(snapshots, { name: "a", write: { a: "shared" } });
  const upper = await snapshots.upperDir("a");
  await withMounts(await snapshots.prepare("k", undefined), { signal }, async (path) => {
    execFileSync("ln", [join(upper ?? "", "a"), join(path, "b")]);
  });
  await snapshots.commit("b", "k");
  await snapshots.merge("m", ["base", "a", "b"], { signal });
  const merged = (await snapshots.upperDir("m")) ?? "";
  assert.equal(statSync(join(merged, "a")).ino, statSync(join(upper ?? "", "a")).ino);
  assert.notEqual(statSync(join(merged, "a")).ino, statSync(join(merged, "b")).ino);
  assert.deepEqual(readdirSync(merged), ["a", "b"]);
});

test("OverlaySnapshotter.merge() copies files that the base has in common with a layer", { skip }, async (t) => {
  const { options } = makePlace(t);
  await using snapshots = new OverlaySnapshotter(options);
  await makeLayer(snapshots, { name: "context", write: { file: "text" } });
  const source = join((await snapshots.upperDir("context")) ?? "", "file");
  const { ino } = statSync(source, { bigint: true });
  for (const [name, parent] of [["base"], ["layer"], ["above", "base"]] as const) {
    await snapshots.prepare(`${name}-key`, parent);
    linkSync(source, join((await snapshots.upperDir(`${name}-key`)) ?? "", name));
    await snapshots.noteLinks(`${name}-key`, { sources: ["context"], inodes: BigUint64Array.of(ino) });
    await snapshots.commit(name, `${name}-key`);
  }
  assert.deepEqual(await snapshots.linkedInodes("above"), BigUint64Array.of(ino, ino));
  assert.deepEqual(await snapshots.linkedInodes("context"), BigUint64Array.of());
  await snapshots.merge("m", ["base", "layer"], { signal });
  const merged = statSync(join((await snapshots.upperDir("m")) ?? "", "layer"), { bigint: true });
  assert.notEqual(merged.ino, ino);
  assert.deepEqual(await snapshots.linkedInodes("m"), BigUint64Array.of(ino, ino));
});

test("OverlaySnapshotter.merge() copies no file of a difference, and marks as gone only what there is", {
  skip,
}, async (t) => {
  const { options } = makePlace(t);
  await using snapshots = new OverlaySnapshotter(options);
  await makeLayer(snapshots, { name: "a", write: { "d/": "", "d/gone": "", "d/other": "" } });
  await makeLayer(snapshots, { name: "b", parent: "a", write: { "d/new": "n" }, remove: ["d/gone", "d/other"] });
  await makeLayer(snapshots, { name: "base", write: { "d/": "", "d/gone": "" } });
  await snapshots.merge("m", ["base", { lower: "a", upper: "b" }], { signal });
  const [made, merged] = [await snapshots.upperDir("b"), await snapshots.upperDir("m")].map((path) => path ?? "");
  assert.equal(statSync(join(merged ?? "", "d/new")).ino, statSync(join(made ?? "", "d/new")).ino);
  assert.deepEqual(readdirSync(join(merged ?? "", "d")), ["gone", "new"]);
});

test("OverlaySnapshotter charges files that snapshots have in common to all of them, and to the last one whole", {
  skip,
}, async (t) => {
  const { options, root } = makePlace(t);
  await using snapshots = new OverlaySnapshotter(options);
  const changed: string[] = [];
  snapshots.onUsageChange((names) => changed.push(...names));
  await makeLayer(snapshots, { name: "base", write: {} });
  await makeLayer(snapshots, { name: "a", write: { file: "x".repeat(100_000) } });
  const sizeOf = async (name: string): Promise<number> => (await snapshots.usage(name, { signal })).sizeBytes;
  const whole = await sizeOf("a");
  await snapshots.merge("m", ["base", "a"], { signal });
  assert.deepEqual(changed.splice(0), ["a"]);
  const total = async (): Promise<number> => {
    const names = (await Array.fromAsync(snapshots.walk())).map(({ name }) => name);
    return (await Promise.all(names.map(sizeOf))).reduce((sum, size) => sum + size, 0);
  };
  const onDisk = (): number =>
    Number(execFileSync("du", ["-s", "-B1", join(root, "snapshots")], { encoding: "utf8" }).split("\t")[0]);
  const ownDirectory = statSync(join(root, "snapshots")).blocks * 512;
  assert.ok((await sizeOf("a")) < whole - 40_000 && (await sizeOf("m")) > 50_000);
  assert.equal(await total(), onDisk() - ownDirectory);
  await snapshots.remove("a");
  assert.deepEqual(changed, ["m"]);
  assert.ok((await sizeOf("m")) > 100_000);
  assert.equal(await total(), onDisk() - ownDirectory);
});

test("OverlaySnapshotter keeps no size that was measured while files were still shared", { skip }, async (t) => {
  const { options } = makePlace(t);
  await using snapshots = new OverlaySnapshotter(options);
  await makeLayer(snapshots, { name: "base", write: {} });
  await makeLayer(snapshots, { name: "a", write: { file: "x".repeat(100_000) } });
  const sizeOf = async (name: string): Promise<number> => (await snapshots.usage(name, { signal })).sizeBytes;
  const whole = await sizeOf("a");
  await snapshots.merge("m", ["base", "a"], { signal });
  const removing = snapshots.remove("m");
  await sizeOf("a");
  await removing;
  assert.equal(await sizeOf("a"), whole);
});

test("OverlaySnapshotter.remove() tries again, and counts meanwhile, what cannot be removed", { skip }, async (t) => {
  const { root, options } = makePlace(t);
  const [clock, reported] = [new ManualClock(), [] as string[]];
  const reporter = { report: (error: unknown) => void reported.push(String(error)) };
  await using snapshots = new OverlaySnapshotter({ ...options, clock, reporter });
  await makeLayer(snapshots, { name: "a", write: { "d/": "" } });
  const busy = join((await snapshots.upperDir("a")) ?? "", "d");
  mountSync({ source: "none", target: busy, type: "tmpfs", flags: 0 });
  let isMounted = true;
  t.after(() => isMounted && umountSync(busy, 0));
  await snapshots.remove("a");
  assert.equal(await snapshots.find("a"), undefined);
  assert.match(
    reported.join(),
    /^BuildError: Cannot remove snapshot directory "[^"]*\/snapshots\/1": EBUSY[^,]*,[^,]*$/,
  );
  const left = await snapshots.leftoverBytes({ signal });
  assert.ok(left >= 4096, `${left}`);
  await clock.whenSleeping(1000);
  umountSync(busy, 0);
  isMounted = false;
  await clock.advance(1000);
  assert.equal(await snapshots.leftoverBytes({ signal }), 0);
  assert.equal(existsSync(join(root, "snapshots/1")), false);
  assert.equal(reported.length, 1);
});

test("OverlaySnapshotter mounts more layers than a page of options holds", { skip }, async (t) => {
  const { options } = makePlace(t);
  await using snapshots = new OverlaySnapshotter(options);
  for (let index = 0; index < 120; index += 1) {
    const parent = index === 0 ? {} : { parent: `${index - 1}` };
    await snapshots.prepare(`k${index}`, parent.parent);
    writeFileSync(join((await snapshots.upperDir(`k${index}`)) ?? "", `${index}`), "");
    await snapshots.commit(`${index}`, `k${index}`);
  }
  assert.equal(Object.keys(await readSnapshot(snapshots, "119")).length, 120);
});

test("probeSnapshotter() finds overlay where it works, and native where it does not", { skip }, async (t) => {
  const { root, options } = makePlace(t);
  assert.equal(await probeSnapshotter(root, { signal }), "overlayfs");
  await using snapshots = new OverlaySnapshotter(options);
  await makeLayer(snapshots, { name: "a", write: {} });
  await withMounts(await snapshots.prepare("k", "a"), { signal }, async (path) => {
    assert.equal(await probeSnapshotter(path, { signal }), "native");
  });
});
