import assert from "node:assert/strict";
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { DirectoryCache } from "./directory-cache.ts";
import type { FileStat } from "./file-stat.ts";
import { metadataFileName } from "./metadata-selection.ts";
import { TreeCursor } from "./tree-cursor.ts";
import { UnchangedStart } from "./unchanged-start.ts";

function makeTree(t: TestContext): string {
  const previous = mkdtempSync(join(tmpdir(), "unchanged-start-"));
  t.after(() => rmSync(previous, { recursive: true }));
  mkdirSync(join(previous, "sub"));
  writeFileSync(join(previous, "a"), "one");
  linkSync(join(previous, "a"), join(previous, "sub/again"));
  symlinkSync("../a", join(previous, "sub/symlink"));
  return previous;
}

/** What a sender says of a tree. */
function* listOf(tree: string): Generator<FileStat, void> {
  using directories = new DirectoryCache(tree);
  const cursor = new TreeCursor(directories);
  for (let stat = cursor.current; stat !== undefined; cursor.next(), stat = cursor.current) yield stat;
}

suite("UnchangedStart", () => {
  test("compares trees of any number of files", (t) => {
    const previous = makeTree(t);
    for (let index = 0; index < 66_000; index += 1) symlinkSync("x", join(previous, `sub/${index}`));
    using start = new UnchangedStart({ previous, differ: "metadata", hasList: false });
    let count = 0;
    for (let stat = start.cursor.current; stat !== undefined; stat = start.cursor.current, count += 1)
      assert.ok(start.take({ stat, id: count }), stat.path);
    assert.equal(count, 66_004);
    assert.ok(start.isWhole(undefined));
    assert.equal([...start.directoryEntries()].length, 1);
  });

  test("gives what was listed, also what the tree before does not say", (t) => {
    const previous = makeTree(t);
    const xattrs = new Map([["user.a", Buffer.from("1")]]);
    const listed = [...listOf(previous)].map((stat, index) => ({ stat: { ...stat, xattrs }, id: index * 2 }));
    utimesSync(join(previous, "sub"), 1, 1);
    writeFileSync(join(previous, metadataFileName), "a list");
    using start = new UnchangedStart({ previous, differ: "metadata", hasList: true });
    for (const entry of listed) assert.ok(start.take(entry));
    assert.ok(start.isWhole(Buffer.from("a list")));
    assert.deepEqual([...start.entries()], listed);
    const directories = listed.filter(({ stat }) => stat.path === "sub");
    assert.deepEqual([...start.directoryEntries()], directories);
    assert.deepEqual(
      start.staleDirectories,
      directories.map(({ stat }) => stat),
    );
  });

  test("ends before the first difference", (t) => {
    const previous = makeTree(t);
    const listed = [...listOf(previous)].map((stat, id) => ({ stat, id }));
    using start = new UnchangedStart({ previous, differ: "metadata", hasList: false });
    const changed = listed.map(({ stat, id }) => ({
      id,
      stat: stat.path === "sub/symlink" ? { ...stat, uid: 7 } : stat,
    }));
    assert.deepEqual(
      changed.map((entry) => start.take(entry)),
      [true, true, true, false],
    );
    assert.deepEqual([...start.entries()], listed.slice(0, 3));
    assert.equal(start.isWhole(undefined), false);
  });
});
