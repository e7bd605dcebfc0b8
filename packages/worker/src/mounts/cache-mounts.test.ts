import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { commitTree, makeTestRoot, openTestCache, quiet } from "@buildkit-ts/cache/testing";
import { mountTemporarily } from "@buildkit-ts/mount";
import type { StatusUpdate } from "@buildkit-ts/progress";
import { CacheMounts } from "./cache-mounts.ts";
import { lockCacheMounts } from "./lock-cache-mounts.ts";
import type { MountRequest } from "./prepare-mounts.ts";

const { signal } = new AbortController();

test("steps that share a directory with a base see at once what the others write", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  await using base = await commitTree(opened.cache, undefined, {
    run: (directory) => writeFileSync(join(directory, "base"), ""),
  });
  const mounts = new CacheMounts(opened.cache, { temporaryDirectory: root.path });
  const request = { id: "shared", sharing: "shared", base, description: "cache", ...quiet } as const;
  {
    await using one = await mounts.acquire(request);
    await using two = await mounts.acquire(request);
    await using first = await mountTemporarily(one.mounts, { signal });
    await using second = await mountTemporarily(two.mounts, { signal });
    // The kernel remembers that the name did not exist.
    assert.equal(existsSync(join(second.path, "new")), false);
    writeFileSync(join(first.path, "new"), "");
    assert.equal(existsSync(join(second.path, "new")), true);
  }
  await using later = await mounts.acquire({ ...request, sharing: "private" });
  await using third = await mountTemporarily(later.mounts, { signal });
  assert.equal(existsSync(join(third.path, "new")), true, "the same directory is found again");
});

test("a build that ignores the cache of other directories, or of none, does not part those who share one", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const mounts = new CacheMounts(opened.cache, { temporaryDirectory: root.path });
  const request = { id: "shared", sharing: "shared", base: undefined, description: "cache", ...quiet } as const;
  await using one = await mounts.acquire(request);
  await mounts.prune([], { signal });
  await mounts.prune(["other"], { signal });
  await using two = await mounts.acquire(request);
  assert.deepEqual(two.mounts, one.mounts);
  await mounts.prune(["shared"], { signal });
  await using three = await mounts.acquire(request);
  assert.notDeepEqual(three.mounts, one.mounts);
});

test("a step that waits for a locked directory says so, and goes on when it is free", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const mounts = new CacheMounts(opened.cache, { temporaryDirectory: root.path });
  const statuses: StatusUpdate[] = [];
  const waits = Promise.withResolvers<void>();
  const status = (update: StatusUpdate): void => {
    statuses.push(update);
    waits.resolve();
  };
  const request = { id: "locked", sharing: "locked", base: undefined, description: "cache", ...quiet } as const;
  const first = await mounts.acquire(request);
  const waiting = mounts.acquire({ ...request, progress: { ...quiet.progress, status } });
  await waits.promise;
  await first[Symbol.asyncDispose]();
  await using _second = await waiting;
  assert.deepEqual(
    statuses.map(({ id, completed }) => [id, completed !== undefined]),
    [
      ["waiting for cache mount locked", false],
      ["waiting for cache mount locked", true],
    ],
  );
});

test("steps that lock the same directories in different orders do not wait for each other for ever", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const cacheMounts = new CacheMounts(opened.cache, { temporaryDirectory: root.path });
  const { progress } = quiet;
  const context = { signal, progress, sessions: () => [], values: () => [] };
  const request = (ids: readonly string[]): MountRequest => ({
    mounts: ids.map((id) =>
      create(opspb.MountSchema, {
        input: -1n,
        dest: `/${id}`,
        output: -1n,
        mountType: opspb.MountType.CACHE,
        cacheOpt: { ID: id, sharing: opspb.CacheSharingOpt.LOCKED },
      }),
    ),
    inputs: [],
    cwd: "/",
    name: "step",
    context,
  });
  const orders = [
    ["a", "b", "c"],
    ["c", "b", "a"],
    ["b", "c", "a"],
  ];
  await Promise.all(
    orders.map(async (ids) => {
      await using _scope = await lockCacheMounts(request(ids), { cacheMounts });
    }),
  );
});
