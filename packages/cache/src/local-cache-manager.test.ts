import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainIds, type Digest } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import { fileHeaderHash } from "@buildkit-ts/tar";
import type { DigestChanges } from "./content-digest/change-digests.ts";
import type { ContentEntry } from "./content-digest/content-entry.ts";
import type { CompressionOptions } from "./refs.ts";
import {
  commitTree,
  ensureDirectory,
  listRoot,
  makeTestRoot,
  openTestCache,
  quiet,
  readTree,
} from "./testing/index.ts";

const { signal } = quiet;
const gzip: CompressionOptions = { type: "gzip", ociMediaTypes: true };
const named = (description: string): { signal: AbortSignal; description: string } => ({ signal, description });
const write =
  (name: string, text = name) =>
  (directory: string): void =>
    writeFileSync(join(directory, name), text);
const everything = {
  filters: [],
  all: true,
  keepDurationMs: 0,
  reservedSpaceBytes: 0,
  maxUsedSpaceBytes: 0,
  minFreeSpaceBytes: 0,
};
const told = (entries: readonly ContentEntry[]): { readonly known: undefined; readonly changes: DigestChanges } => ({
  known: undefined,
  changes: { gone: [], entries, links: [] },
});
const noLazy = (): never => {
  throw new Error("nothing may be fetched");
};

for (const driver of ["overlay", "native"] as const) {
  test(`${driver}: a tree is written, committed, built on, and there after a restart`, async () => {
    using root = makeTestRoot();
    let id: string;
    {
      await using opened = await openTestCache(root.path, driver);
      const { cache } = opened;
      await using base = await commitTree(cache, undefined, { run: write("a") });
      await using top = await commitTree(cache, base, { run: write("b"), description: "top" });
      assert.deepEqual(await listRoot(top), ["a", "b"]);
      assert.deepEqual(await listRoot(base), ["a"]);
      cache.metadata(top.id).set("key", "value", { index: true });
      id = top.id;
    }
    await using opened = await openTestCache(root.path, driver);
    const { cache } = opened;
    assert.deepEqual(cache.search("key", "value"), [id]);
    await using again = await cache.get(id, { signal });
    assert.equal(again.description, "top");
    assert.deepEqual(await listRoot(again), ["a", "b"]);
    assert.equal(again.isLazy, false);
    assert.deepEqual(opened.reported, []);
  });

  test(`${driver}: layers become blobs once, and blobs become the same trees elsewhere`, async () => {
    using root = makeTestRoot();
    using otherRoot = makeTestRoot();
    await using source = await openTestCache(root.path, driver);
    await using base = await commitTree(source.cache, undefined, {
      run: (directory) => {
        write("gone")(directory);
        write("inside")(ensureDirectory(directory, "d"));
      },
    });
    await using top = await commitTree(source.cache, base, {
      run: (directory) => {
        rmSync(join(directory, "gone"));
        write("more")(join(directory, "d"));
      },
    });
    assert.equal(top.chainId, undefined);
    const [remote, same] = await Promise.all([top.remote(gzip, quiet), top.remote(gzip, quiet)]);
    assert.deepEqual(same.layers, remote.layers);
    assert.equal(remote.layers.length, 2);
    assert.equal(top.chainId, chainIds(remote.layers.map(({ diffId }) => diffId))[1]);

    await using target = await openTestCache(otherRoot.path, driver);
    let opened = 0;
    const lazy = () => ({
      open: async (...args: Parameters<typeof remote.provider.open>) => {
        opened += 1;
        return await remote.provider.open(...args);
      },
    });
    await using pulled = await target.cache.getByLayers(remote.layers, lazy, named("pulled"));
    assert.equal(pulled.isLazy, true);
    assert.equal(pulled.chainId, top.chainId);
    await pulled.remote(gzip, quiet);
    assert.equal(opened, 0, "describing fetches nothing");
    const statuses: string[] = [];
    const progress = { ...noProgress, status: ({ id }: { id: string }) => void statuses.push(id) };
    await Promise.all([pulled.extract({ signal, progress }), pulled.extract({ signal, progress })]);
    assert.equal(opened, 2, "each blob is fetched once");
    for (const { descriptor } of remote.layers) assert.ok(statuses.includes(`extracting ${descriptor.digest}`));
    assert.deepEqual(await listRoot(pulled), ["d"]);
    assert.deepEqual(await readTree(pulled, (path) => readFileSync(join(path, "d/more"), "utf8")), "more");
    await using equal = await target.cache.getByLayers(remote.layers, noLazy, named("again"));
    assert.equal(equal.id, pulled.id);
  });

  test(`${driver}: layers that are equal but for their compression keep their blobs and share their tree`, async () => {
    using root = makeTestRoot();
    using otherRoot = makeTestRoot();
    await using source = await openTestCache(root.path, driver);
    await using base = await commitTree(source.cache, undefined, { run: write("a") });
    await using top = await commitTree(source.cache, base, { run: write("b") });
    const fast = await top.remote(gzip, quiet);
    const small = await top.remote({ type: "zstd", force: true, ociMediaTypes: true }, quiet);

    await using target = await openTestCache(otherRoot.path, driver);
    const { cache } = target;
    const first = await cache.getByLayers(fast.layers, () => fast.provider, named("first"));
    await first.extract(quiet);
    await using second = await cache.getByLayers(small.layers, noLazy, named("second"));
    assert.equal(second.isLazy, false, "the tree is there");
    assert.equal(second.chainId, first.chainId);
    await using built = await commitTree(cache, second, { run: write("c") });
    const blobs = (await built.remote(gzip, quiet)).layers.map(({ descriptor }) => descriptor.digest);
    assert.deepEqual(
      blobs.slice(0, 2),
      small.layers.map(({ descriptor }) => descriptor.digest),
    );
    const usage = await cache.diskUsage({ signal });
    const shared = usage.filter(({ id }) => id === first.id || id === second.id).map(({ sizeBytes }) => sizeBytes);
    assert.ok(shared.some((size) => size > 0) && Math.min(...shared) < Math.max(...shared), "one pays for the tree");
    await first[Symbol.asyncDispose]();
    for await (const _gone of cache.prune({ ...everything, signal }));
    await assert.rejects(cache.get(first.id, { signal }), { code: "not_found" });
    assert.deepEqual(await listRoot(second), ["a", "b"], "the tree stays for whoever has it");
    assert.deepEqual(await listRoot(built), ["a", "b", "c"]);
  });

  test(`${driver}: a merge shows its parts one over the other, and keeps their layers`, async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path, driver);
    const { cache } = opened;
    await using a = await commitTree(cache, undefined, { run: write("a") });
    await using b = await commitTree(cache, undefined, { run: write("b") });
    await using merged = await cache.merge([a, b], named("merged"));
    assert.equal(merged.isLazy, true);
    assert.deepEqual(await listRoot(merged), ["a", "b"]);
    const remote = await merged.remote(gzip, quiet);
    const parts = [...(await a.remote(gzip, quiet)).layers, ...(await b.remote(gzip, quiet)).layers];
    assert.deepEqual(remote.layers, parts);
    await using nested = await cache.merge([merged, a], named("nested"));
    const chain = nested.layerChain();
    assert.deepEqual(
      chain.map(({ id }) => id),
      [a.id, b.id, a.id],
    );
    for (const ref of chain) await ref[Symbol.asyncDispose]();
    await using onTop = await commitTree(cache, merged, { run: write("c") });
    assert.deepEqual(await listRoot(onTop), ["a", "b", "c"]);
    assert.equal((await onTop.remote(gzip, quiet)).layers.length, 3);
  });

  test(`${driver}: a merge below a tree deletes of what that tree is laid over, though it shows nothing of it`, async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path, driver);
    const { cache } = opened;
    await using made = await commitTree(cache, undefined, { run: write("file") });
    await using deleted = await commitTree(cache, made, { run: (directory) => rmSync(join(directory, "file")) });
    await using other = await commitTree(cache, undefined, { run: write("other") });
    await using below = await cache.merge([other, deleted], named("below"));
    await using above = await commitTree(cache, below, { run: write("above") });
    await using base = await commitTree(cache, undefined, { run: write("file") });
    await using merged = await cache.merge([base, above], named("merged"));
    assert.deepEqual(await listRoot(merged), ["above", "other"]);
  });

  test(`${driver}: a difference holds what changed, deletions included`, async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path, driver);
    const { cache } = opened;
    await using lower = await commitTree(cache, undefined, {
      run: (directory) => ["keep", "gone"].map((name) => write(name)(directory)),
    });
    await using upper = await commitTree(cache, lower, {
      run: (directory) => {
        rmSync(join(directory, "gone"));
        write("new")(directory);
      },
    });
    await using difference = await cache.diff(lower, upper, named("difference"));
    assert.deepEqual(await listRoot(difference), ["new"]);
    await using other = await commitTree(cache, undefined, {
      run: (directory) => ["gone", "other"].map((name) => write(name)(directory)),
    });
    await using merged = await cache.merge([other, difference], named("merged"));
    assert.deepEqual(await listRoot(merged), ["new", "other"]);
    assert.deepEqual(
      (await difference.remote(gzip, quiet)).layers.map(({ diffId }) => diffId),
      (await upper.remote(gzip, quiet)).layers.slice(1).map(({ diffId }) => diffId),
    );

    await using top = await commitTree(cache, upper, { run: write("top") });
    await using twoLayers = await cache.diff(lower, top, named("two layers"));
    assert.deepEqual(await listRoot(twoLayers), ["new", "top"]);
    await using unrelated = await cache.diff(other, upper, named("unrelated"));
    assert.deepEqual(await listRoot(unrelated), ["keep", "new"]);
    await using removed = await cache.diff(lower, undefined, named("removed"));
    await using emptied = await cache.merge([lower, removed], named("emptied"));
    assert.deepEqual(await listRoot(emptied), []);
    await using nothing = await cache.diff(lower, lower, named("nothing"));
    assert.deepEqual(await listRoot(nothing), []);
  });

  test(`${driver}: a throw-away view is written to without changing the ref`, async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path, driver);
    await using ref = await commitTree(opened.cache, undefined, { run: write("a") });
    const before = await Array.fromAsync(opened.snapshotter.walk());
    {
      await using held = await ref.mount({ ...quiet, writable: true });
      assert.ok(held.mounts.length > 0);
      await using _shared = await ref.mount(quiet);
      await using _again = await ref.mount(quiet);
    }
    assert.deepEqual(await Array.fromAsync(opened.snapshotter.walk()), before);
  });

  test(`${driver}: content checksums are computed once, and as told where they are told`, async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path, driver);
    const { cache } = opened;
    await using ref = await commitTree(cache, undefined, {
      run: (directory) => write("abc", "data0")(ensureDirectory(directory, "d0")),
    });
    const data0 = "sha256:cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b" as Digest;
    assert.equal(await cache.contentChecksum(ref, "/d0/abc", quiet), data0);
    assert.equal(await cache.contentChecksum(ref, "/d0/abc", quiet), data0);
    await assert.rejects(cache.contentChecksum(ref, "/absent", quiet), { code: "unknown" });
    const whole = await cache.contentChecksum(ref, "/d0", quiet);
    await using received = await commitTree(cache, undefined, { run: () => undefined });
    const header = `sha256:${fileHeaderHash({ mode: 0o40755, uid: 0, gid: 0, sizeBytes: 0 }).digest("hex")}` as Digest;
    await cache.setContentDigests(
      received.id,
      told([
        { path: "d0/abc", kind: "file", digest: data0 },
        { path: "d0", kind: "directory", digest: header },
      ]),
      { signal },
    );
    assert.equal(await cache.contentChecksum(received, "d0/abc", quiet), data0);
    assert.equal(await cache.contentChecksum(received, "d0", quiet), whole);
    await using next = await commitTree(cache, undefined, { run: () => undefined });
    const known = cache.getContentDigests(received.id);
    await cache.setContentDigests(next.id, { ...told([]), known }, { signal });
    assert.equal(await cache.contentChecksum(next, "d0", quiet), whole);
    await using unknown = await commitTree(cache, undefined, { run: () => undefined });
    assert.equal(cache.getContentDigests(unknown.id), undefined);
  });
}

test("digests of a tree are known at once, written later, and go with their record", async () => {
  using root = makeTestRoot();
  const file = { path: "abc", kind: "file", digest: `sha256:${"a".repeat(64)}` as Digest } as const;
  const ids: string[] = [];
  {
    await using opened = await openTestCache(root.path);
    const { cache, database } = opened;
    const rows = (): number => database.all("SELECT record FROM cache_digests").length;
    for (const isKept of [true, false]) {
      await using ref = await commitTree(cache, undefined, { run: write("abc") });
      await cache.setContentDigests(ref.id, told([file]), { signal });
      assert.equal(await cache.contentChecksum(ref, "abc", quiet), file.digest);
      if (isKept) ids.push(ref.id);
      else {
        await ref[Symbol.asyncDispose]();
        for await (const _ of cache.prune({ ...everything, filters: [`id==${ref.id}`], signal }));
        assert.throws(() => cache.getContentDigests(ref.id), { code: "not_found" });
      }
    }
    assert.equal(rows(), 0);
  }
  await using opened = await openTestCache(root.path);
  assert.deepEqual(opened.reported, []);
  for (const id of ids) {
    await using ref = await opened.cache.get(id, { signal });
    assert.equal(await opened.cache.contentChecksum(ref, "abc", quiet), file.digest);
  }
});

test("takeOver() gives a tree that only the caller holds under a new id, and none that others have to do with", async () => {
  using root = makeTestRoot();
  await using opened = await openTestCache(root.path);
  const { cache, snapshotter } = opened;
  const file = { path: "a", kind: "file", digest: `sha256:${"0".repeat(64)}` as Digest } as const;
  const tree = await commitTree(cache, undefined, { run: write("a") });
  cache.metadata(tree.id).set("key", "value", { index: true });
  await cache.setContentDigests(tree.id, told([file]), { signal });
  {
    await using _other = tree.clone();
    assert.equal(await cache.takeOver(tree, named("held")), undefined);
  }
  {
    await using _view = await tree.mount(quiet);
    assert.equal(await cache.takeOver(tree, named("viewed")), undefined);
  }
  const child = await commitTree(cache, tree, { run: write("b") });
  assert.equal(await cache.takeOver(tree, named("built on")), undefined);
  assert.equal(await cache.takeOver(child, named("a layer on another")), undefined);
  await child[Symbol.asyncDispose]();
  for await (const _record of cache.prune({ ...everything, filters: [`id==${child.id}`], signal }));
  await using layered = await commitTree(cache, undefined, { run: write("c") });
  await layered.remote(gzip, quiet);
  assert.equal(await cache.takeOver(layered, named("has blobs")), undefined);

  const taken = await cache.takeOver(tree, named("taken"));
  assert.ok(taken !== undefined && taken.id !== tree.id);
  assert.equal(cache.has(tree.id), false);
  assert.deepEqual(cache.search("key", "value"), []);
  await tree[Symbol.asyncDispose]();
  {
    await using held = await taken.mount({ signal });
    writeFileSync(join(held.mounts[0]?.source ?? "", "new"), "");
  }
  await using version = await taken.commit();
  assert.deepEqual(await listRoot(version), ["a", "new"]);
  assert.equal(cache.getContentDigests(version.id), undefined);
  assert.equal((await Array.fromAsync(snapshotter.walk())).length, 2);
});

test("a tree that was taken over and not committed is gone after a restart", async () => {
  using root = makeTestRoot();
  {
    await using opened = await openTestCache(root.path);
    const tree = await commitTree(opened.cache, undefined, { run: write("a") });
    // As if the daemon were killed: nothing is given up.
    assert.ok(await opened.cache.takeOver(tree, named("taken")));
  }
  await using opened = await openTestCache(root.path);
  assert.deepEqual(await opened.cache.diskUsage({ signal }), []);
  assert.equal((await Array.fromAsync(opened.snapshotter.walk())).length, 0);
});
