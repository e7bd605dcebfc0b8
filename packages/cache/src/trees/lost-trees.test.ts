import assert from "node:assert/strict";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { LostContentError } from "@buildkit-ts/errdefs";
import { commitTree, makeTestRoot, openTestCache, quiet, readTree, type TestCache } from "../testing/test-cache.ts";

const { signal } = new AbortController();
const file = (name: string) => ({ run: (directory: string) => writeFileSync(join(directory, name), name) });

/** Deletes the directories of all snapshots whose own files include this one. */
function takeAway({ root }: TestCache, name: string): void {
  for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }))
    if (path.endsWith(`/fs/${name}`)) rmSync(join(root, path, "../.."), { recursive: true });
}

suite("a tree whose files somebody has deleted", () => {
  test("is not used any more, nor what is built on it, and the failure names it", async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path);
    await using base = await commitTree(opened.cache, undefined, file("base"));
    await using top = await commitTree(opened.cache, base, file("top"));
    await using other = await commitTree(opened.cache, undefined, file("other"));
    await top.checkPresent();
    takeAway(opened, "base");
    await assert.rejects(top.mount(quiet), (error) => {
      assert.ok(error instanceof LostContentError);
      assert.equal(error.record, base.id);
      return true;
    });
    assert.deepEqual([base.isLost, top.isLost, other.isLost], [true, true, false]);
    assert.deepEqual([top.restsOn(base.id), base.restsOn(top.id), other.restsOn(base.id)], [true, false, false]);
    for (const ref of [base, top]) {
      await assert.rejects(opened.cache.get(ref.id, { signal }), { code: "not_found" });
      await assert.rejects(opened.cache.create(ref, { signal, description: "upon" }), LostContentError);
    }
    assert.deepEqual(await readTree(other, (directory) => readdirSync(directory)), ["other"]);
  });

  test("goes with its last hold, after what is built on it, and is not brought back", async () => {
    using root = makeTestRoot();
    {
      await using opened = await openTestCache(root.path);
      const ids = async (): Promise<string[]> => (await opened.cache.diskUsage({ signal })).map(({ id }) => id);
      const base = await commitTree(opened.cache, undefined, file("base"));
      const top = await commitTree(opened.cache, base, file("top"));
      const cached = await commitTree(opened.cache, base, file("cached"));
      await cached[Symbol.asyncDispose]();
      takeAway(opened, "base");
      await assert.rejects(top.checkPresent(), LostContentError);
      assert.deepEqual((await ids()).toSorted(), [base.id, top.id].toSorted(), "what nobody holds is gone at once");
      await base[Symbol.asyncDispose]();
      await top[Symbol.asyncDispose]();
      assert.deepEqual(await ids(), []);
      const held = await commitTree(opened.cache, undefined, file("held"));
      takeAway(opened, "held");
      await assert.rejects(held.checkPresent(), LostContentError);
    }
    await using again = await openTestCache(root.path);
    assert.deepEqual(await again.cache.diskUsage({ signal }), []);
  });

  test("leaves nothing of what was made upon it meanwhile", async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path);
    const base = await commitTree(opened.cache, undefined, file("base"));
    const upon = await opened.cache.create(base, { signal, description: "upon" });
    takeAway(opened, "base");
    await assert.rejects(base.checkPresent(), LostContentError);
    const made = await upon.commit();
    await base[Symbol.asyncDispose]();
    await made[Symbol.asyncDispose]();
    assert.deepEqual(await opened.cache.diskUsage({ signal }), []);
  });

  test("is not found by what describes it, nor is a directory that is changed", async () => {
    using root = makeTestRoot();
    await using opened = await openTestCache(root.path);
    const { id } = await (async () => {
      await using directory = await opened.cache.create(undefined, { signal, description: "kept", retain: true });
      directory.metadata.set("name", "it", { index: true });
      await using mounted = await directory.mount({ signal });
      writeFileSync(join(mounted.mounts[0]?.source ?? "", "kept"), "");
      return directory;
    })();
    assert.deepEqual(opened.cache.search("name", "it"), [id]);
    takeAway(opened, "kept");
    await assert.rejects(opened.cache.getMutable(id, { signal }), { code: "not_found" });
    assert.deepEqual(opened.cache.search("name", "it"), []);
    assert.deepEqual(await opened.cache.diskUsage({ signal }), []);
  });
});
