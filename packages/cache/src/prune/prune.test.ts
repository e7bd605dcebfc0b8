import assert from "node:assert/strict";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "@buildkit-ts/async";
import { digestOf } from "@buildkit-ts/oci";
import fc from "fast-check";
import type { CompressionOptions, ImmutableRef, RecordType } from "../refs.ts";
import { commitTree, makeTestRoot, openTestCache, prunePlanTime, quiet } from "../testing/index.ts";
import { GarbageCollector } from "./garbage-collector.ts";
import { keepBytes } from "./keep-bytes.ts";
import { type RecordUse, RemovalRanks } from "./rank-for-removal.ts";
import { RemovalQueue } from "./removal-queue.ts";

const { signal } = quiet;
const gzip: CompressionOptions = { type: "gzip", ociMediaTypes: true };

const everything = { keepDurationMs: 0, reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
const bytes = (size: number) => (directory: string) => writeFileSync(join(directory, "x"), Buffer.alloc(size, 1));

test("what is held stays, with all it is built on; the rest goes, and its disk space with it", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache } = opened;
  await using base = await commitTree(cache, undefined, { run: bytes(100_000) });
  const top = await commitTree(cache, base, { run: bytes(200_000), description: "top" });
  await top.remote(gzip, quiet);
  const hold = top.clone();
  await top[Symbol.asyncDispose]();
  assert.deepEqual(await removed(cache.prune({ ...everything, filters: [], all: true, signal })), []);
  const usage = await cache.diskUsage({ signal });
  assert.deepEqual(
    usage.map(({ inUse }) => inUse),
    [true, true],
  );
  const own = usage.find(({ id }) => id === hold.id);
  assert.ok(own !== undefined && own.sizeBytes >= 200_000 && own.sizeBytes < 300_000);
  assert.deepEqual(own.parents, [base.id]);
  await hold[Symbol.asyncDispose]();
  const [after] = await cache.diskUsage({ signal, filters: [`id==${hold.id}`] });
  assert.equal(after?.inUse, false);
  assert.equal(after.usageCount, 1);
  assert.deepEqual(
    await removed(cache.prune({ ...everything, filters: ["description==other"], all: true, signal })),
    [],
  );
  assert.deepEqual(await removed(cache.prune({ ...everything, filters: [], all: true, signal })), [hold.id]);
  assert.deepEqual(await cache.diskUsage({ signal, filters: ["mutable"] }), []);
  assert.deepEqual(
    (await Array.fromAsync(opened.content.walk())).length,
    1,
    "the layer's blob is gone, its parent's is not",
  );
  assert.deepEqual(
    (await Array.fromAsync(opened.snapshotter.walk())).map(({ name }) => name),
    [base.id],
  );
});

test("blobs that are only pinned count from when they are there until nobody pins them", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache, content } = opened;
  // The database with its log and its reserve takes less than that.
  const size = 32 << 20;
  const isExceeded = async (): Promise<boolean> => (await cache.measureSpace(quiet)).usedBytes > size;
  const blob = Buffer.alloc(size, 1);
  await cache.pinBlobs("owner", [digestOf(blob)]);
  assert.equal(await isExceeded(), false);
  await using writer = await content.openWriter({ signal });
  await writer.write(blob);
  await writer.commit({});
  assert.equal(await isExceeded(), true);
  assert.equal(await isExceeded(), true);
  await cache.unpinBlobs("owner");
  assert.equal(await isExceeded(), false);
});

test("a blob that two records name is charged to one of them, and to the other when that is gone", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache } = opened;
  const ids: string[] = [];
  for (const description of ["first", "second"]) {
    const run = (directory: string): void => {
      writeFileSync(join(directory, "x"), Buffer.alloc(1_000_000, 1));
      for (const path of [join(directory, "x"), directory]) utimesSync(path, 1, 1);
    };
    await using ref = await commitTree(cache, undefined, { run, description });
    await ref.remote({ type: "uncompressed", ociMediaTypes: true }, quiet);
    ids.push(ref.id);
  }
  assert.equal((await Array.fromAsync(opened.content.walk())).length, 1);
  const sizes = async (): Promise<number[]> =>
    (await cache.diskUsage({ signal })).map(({ sizeBytes }) => Math.floor(sizeBytes / 1_000_000));
  assert.deepEqual((await sizes()).toSorted(), [1, 2]);
  const options = { ...everything, filters: [`id==${ids[0]}`], all: true, signal };
  assert.deepEqual(await removed(cache.prune(options)), [ids[0]]);
  assert.deepEqual(await sizes(), [2]);
});

test("with a limit only as much goes as must, the least used first; internal records stay unless all", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache } = opened;
  const ids: string[] = [];
  for (const recordType of ["internal", "regular", "regular"] as const) {
    const ref = await commitTree(cache, undefined, { run: bytes(1_000_000), recordType });
    ids.push(ref.id);
    await ref[Symbol.asyncDispose]();
  }
  const second = await cache.get(ids[1] ?? "", { signal });
  await second[Symbol.asyncDispose]();
  const limit = { ...everything, maxUsedSpaceBytes: 2_500_000, filters: [], all: false, signal };
  assert.deepEqual(await removed(cache.prune(limit)), [ids[2]]);
  assert.deepEqual(await removed(cache.prune({ ...limit, maxUsedSpaceBytes: 1 })), [ids[1]]);
  assert.deepEqual(
    await removed(cache.prune({ ...limit, keepDurationMs: 60_000, maxUsedSpaceBytes: 1, all: true })),
    [],
  );
  assert.deepEqual(await removed(cache.prune({ ...limit, maxUsedSpaceBytes: 1, all: true })), [ids[0]]);
});

test("a plan says what a prune would do, in its order, and why the rest stays; it removes nothing", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache } = opened;
  const make = async (description: string, recordType: RecordType, parent?: ImmutableRef): Promise<ImmutableRef> =>
    await commitTree(cache, parent, { run: bytes(1_000_000), description, recordType });
  await using base = await make("base", "regular");
  await using held = await make("held", "regular", base);
  const refs = [await make("a", "regular"), await make("b", "regular"), await make("internal", "internal")];
  for (const ref of refs) await ref[Symbol.asyncDispose]();
  const options = { ...everything, filters: [], all: false, signal };
  const explain = async (change: object): Promise<string[]> =>
    (await cache.explainPrune({ ...options, ...change })).map(
      ({ usage, goes, reason, pinnedBy }) =>
        `${usage.description} ${goes ? "goes" : "stays"}: ${reason} ${pinnedBy.join()}`,
    );
  const inUse = [`base stays: in use ${held.id}`, "held stays: in use "];
  const internal = "internal stays: internal ";
  assert.deepEqual(await explain({}), ["a goes: selected ", "b goes: selected ", ...inUse, internal]);
  const limit = { maxUsedSpaceBytes: 4_500_000 };
  assert.deepEqual(await explain(limit), ["a goes: over limit ", ...inUse, "b stays: within limit ", internal]);
  assert.deepEqual(await explain({ keepDurationMs: 60_000 }), [
    ...inUse,
    "a stays: recent ",
    "b stays: recent ",
    internal,
  ]);
  assert.deepEqual(await explain({ filters: ["description==b"] }), [
    "b goes: selected ",
    ...inUse,
    "a stays: filtered ",
    internal,
  ]);
  await base[Symbol.asyncDispose]();
  assert.equal((await explain({}))[2], `base stays: parent ${held.id}`);
  assert.equal((await cache.diskUsage({ signal })).length, 5);
  const planned = (await cache.explainPrune({ ...options, ...limit })).filter(({ goes }) => goes);
  assert.deepEqual(
    planned.map(({ usage }) => usage.id),
    await removed(cache.prune({ ...options, ...limit })),
  );
});

async function removed(pruned: AsyncIterable<{ readonly id: string }>): Promise<string[]> {
  return (await Array.fromAsync(pruned)).map(({ id }) => id);
}

test("keepBytes() shrinks from the maximum by what the disk lacks, down to what is reserved", () => {
  const state = { usedBytes: 100, freeBytes: 20 };
  const limits = { reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
  assert.equal(keepBytes(limits, state), undefined);
  assert.equal(keepBytes({ ...limits, maxUsedSpaceBytes: 70 }, state), 70);
  assert.equal(keepBytes({ ...limits, minFreeSpaceBytes: 20 }, state), 100, "enough is free: nothing goes");
  assert.equal(keepBytes({ ...limits, minFreeSpaceBytes: 50 }, state), 70);
  assert.equal(keepBytes({ ...limits, minFreeSpaceBytes: 50, maxUsedSpaceBytes: 90 }, state), 70);
  assert.equal(keepBytes({ ...limits, minFreeSpaceBytes: 50, maxUsedSpaceBytes: 60 }, state), 60);
  assert.equal(keepBytes({ ...limits, minFreeSpaceBytes: 500, reservedSpaceBytes: 30 }, state), 30);
  assert.equal(keepBytes({ ...limits, minFreeSpaceBytes: 500 }, state), 0);
});

const use = fc.record({ lastUsedAt: fc.option(fc.nat(5), { nil: undefined }), usageCount: fc.nat(5) });

test("a RemovalQueue gives first what was used neither lately nor often, whenever it came", () => {
  fc.assert(
    fc.property(fc.array(use), fc.array(use), (early, late) => {
      const queue = new RemovalQueue({
        ranks: new RemovalRanks([...early, ...late]),
        useOf: (record: RecordUse) => record,
      });
      for (const record of early) queue.add(record);
      const first = queue.take();
      for (const record of late) queue.add(record);
      const rest = Array.from({ length: early.length + late.length - (first === undefined ? 0 : 1) }, () =>
        queue.take(),
      );
      assert.equal(queue.take(), undefined);
      const ranked = rest.filter((record) => record !== undefined);
      assert.equal(ranked.length, rest.length);
      for (const [index, record] of ranked.entries())
        for (const later of ranked.slice(index + 1))
          assert.ok(
            !((record.lastUsedAt ?? 0) > (later.lastUsedAt ?? 0) && record.usageCount > later.usageCount),
            "one that is worth more by both comes later",
          );
    }),
  );
});

test("a RemovalQueue gives what was used since it came when its turn is now", () => {
  const uses = new Map([
    ["a", { lastUsedAt: 1, usageCount: 1 }],
    ["b", { lastUsedAt: 2, usageCount: 2 }],
    ["c", { lastUsedAt: 3, usageCount: 3 }],
  ]);
  const useOf = (name: string): RecordUse => uses.get(name) ?? assert.fail();
  const queue = new RemovalQueue({ ranks: new RemovalRanks([...uses.values()]), useOf });
  for (const name of uses.keys()) queue.add(name);
  uses.set("a", { lastUsedAt: 4, usageCount: 3 });
  assert.deepEqual([queue.take(), queue.take(), queue.take(), queue.take()], ["b", "c", "a", undefined]);
});

test("what a prune costs grows with the number of records, and not with its square", (t) => {
  const costOf = (count: number): number => Math.min(...Array.from({ length: 3 }, () => prunePlanTime(count)));
  // Far apart, so that a square would show through any noise: it costs 16 times as much for each of the many.
  const [few, many] = [costOf(4000), costOf(64_000)];
  t.diagnostic(`${(few * 1000).toFixed(1)} µs a record for 4,000, ${(many * 1000).toFixed(1)} µs for 64,000`);
  assert.ok(many < 10 * few);
});

test("a clock that is set back deletes nothing, and lets nothing stay for ever; one that goes ahead deletes nothing in use", async () => {
  const day = 24 * 60 * 60 * 1000;
  let now = 100 * day;
  const clock = { ...systemClock, now: () => now };
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path, "overlay", clock);
  const { cache } = opened;
  const use = async (description: string): Promise<ImmutableRef> =>
    await commitTree(cache, undefined, { run: bytes(1000), description });
  await (await use("left"))[Symbol.asyncDispose]();
  await using _held = await use("held");
  const reported: unknown[] = [];
  const policies = [{ ...everything, keepDurationMs: day, filters: [], all: true }];
  const reporter = { report: (error: unknown) => reported.push(error) };
  const collect = async (): Promise<string[]> => {
    await using collector = new GarbageCollector(cache, { policies, reporter });
    await collector.run({ signal });
    return (await cache.diskUsage({ signal })).map(({ description }) => description).toSorted();
  };
  now -= 30 * day;
  assert.deepEqual(await collect(), ["held", "left"]);
  assert.match(String(reported), /Cannot tell how old 1 cache records are: the clock was set back/);
  reported.length = 0;
  now += day / 2;
  assert.deepEqual(await collect(), ["held", "left"]);
  now += day;
  assert.deepEqual(await collect(), ["held"]);
  now += 1000 * day;
  assert.deepEqual(await collect(), ["held"]);
  assert.deepEqual(reported, []);
});

test("the garbage collector runs its policies in order, soon after it was asked", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache } = opened;
  for (const description of ["a", "b"]) {
    const ref = await commitTree(cache, undefined, { run: bytes(1000), description });
    await ref[Symbol.asyncDispose]();
  }
  const policy = { ...everything, all: false };
  const policies = [
    { ...policy, filters: ["description==a"] },
    { ...policy, filters: ["description==c"] },
  ];
  await using collector = new GarbageCollector(cache, { policies, reporter: { report: assert.fail } });
  collector.schedule();
  collector.schedule();
  for (let left = 2; left > 1; left = (await cache.diskUsage({ signal })).length)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(
    (await cache.diskUsage({ signal })).map(({ description }) => description),
    ["b"],
  );
});

test("the garbage collector measures trees only where that may lead to a removal", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache, database } = opened;
  await using _held = await commitTree(cache, undefined, { run: bytes(100_000), description: "held" });
  await (await commitTree(cache, undefined, { run: bytes(100_000), description: "left" }))[Symbol.asyncDispose]();
  const measuredTrees = `SELECT description FROM cache_record r JOIN snapshot s ON s.name = r.snapshot
    WHERE s.size_bytes IS NOT NULL`;
  const measured = (): unknown[] => database.all(measuredTrees).map((row) => row["description"]);
  const collect = async (limits: { readonly maxUsedSpaceBytes: number; readonly filters: string[] }): Promise<void> => {
    const policies = [{ ...everything, all: true, ...limits }];
    await using collector = new GarbageCollector(cache, { policies, reporter: { report: assert.fail } });
    await collector.run({ signal });
  };
  await collect({ maxUsedSpaceBytes: 2 ** 60, filters: [] });
  await collect({ maxUsedSpaceBytes: 1, filters: ["description==held"] });
  assert.deepEqual(measured(), []);
  await collect({ maxUsedSpaceBytes: 1, filters: ["description==left"] });
  assert.deepEqual(measured(), ["held"]);
  assert.equal((await cache.diskUsage({ signal })).length, 1);
});
