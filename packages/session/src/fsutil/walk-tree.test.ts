import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { followLinks } from "./follow-links.ts";
import { walkTree } from "./walk-tree.ts";

interface FilteredTree {
  readonly tree: readonly string[];
  readonly exclude?: readonly string[];
  readonly include?: readonly string[];
  readonly follow?: readonly string[];
  readonly sent: readonly string[];
}

const cases = readFileSync(new URL("../../testdata/filtered-trees.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as FilteredTree);

function makeTree(entries: readonly string[]): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "walk-tree-"));
  for (const entry of entries) {
    const [name = "", target] = entry.split(" -> ");
    if (target !== undefined) symlinkSync(target, join(path, name));
    else if (name.endsWith("/")) mkdirSync(join(path, name));
    else writeFileSync(join(path, name), name);
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

function sentPaths(root: string, { include, exclude, follow }: Partial<FilteredTree>): string[] {
  const filter = {
    ...(include !== undefined && { includePatterns: include }),
    ...(exclude !== undefined && { excludePatterns: exclude }),
    ...(follow !== undefined && { followPaths: follow }),
  };
  return Array.from(walkTree(root, filter), ({ stat }) => stat.path);
}

suite("walkTree()", () => {
  test("sends of any tree what BuildKit's client sends", () => {
    assert.ok(cases.length > 90);
    for (const filtered of cases) {
      using tree = makeTree(filtered.tree);
      assert.deepEqual(sentPaths(tree.path, filtered).toSorted(), filtered.sent.toSorted(), JSON.stringify(filtered));
    }
  });

  test("reads no directory that nothing can be sent from", () => {
    using tree = makeTree(["keep/", "keep/a", "node_modules/", "node_modules/x"]);
    // A directory that is gone shows that it was read: an entry in it would be missing.
    const entries = walkTree(tree.path, { excludePatterns: ["node_modules", "!keep"] });
    const first = entries.next();
    assert.equal(first.done === true ? "" : first.value.stat.path, "keep");
    rmSync(join(tree.path, "node_modules"), { recursive: true });
    assert.deepEqual(
      Array.from(entries, ({ stat }) => stat.path),
      ["keep/a"],
    );
  });

  test("takes 500 patterns in little time", () => {
    const directories = Array.from({ length: 100 }, (_unused, index) => `d${index}/`);
    const files = directories.flatMap((directory) =>
      Array.from({ length: 20 }, (_unused, at) => `${directory}f${at}.ts`),
    );
    using tree = makeTree([...directories, ...files]);
    const patterns = Array.from({ length: 500 }, (_unused, index) =>
      index % 5 === 0 ? `!d${index}/keep-${index}` : index % 3 === 0 ? `**/*.${index}.log` : `build-${index}/out*`,
    );
    const started = process.cpuUsage();
    // Ten times, since the tree need not be large for the patterns to count.
    for (let round = 0; round < 10; round += 1) sentPaths(tree.path, { exclude: patterns });
    const { user } = process.cpuUsage(started);
    assert.ok(user < 20e6, `${user / 1e6} s`);
  });
});

suite("followLinks()", () => {
  test("includes what a link leads to, and no directory for the sake of a wildcard", () => {
    using tree = makeTree(["real/", "real/file", "a1/", "a1/b", "a1/c", "a2/", "a2/b", "link -> real/file"]);
    assert.deepEqual(followLinks(tree.path, ["link"]), ["link", "real/file"]);
    assert.deepEqual(followLinks(tree.path, ["a*/b"]), ["a*/b"]);
    assert.deepEqual(followLinks(tree.path, ["l*", "real"]), ["l*", "real"]);
    assert.equal(followLinks(tree.path, ["a1/.."]), undefined);
  });

  test("ends for links that lead in circles, out of the tree and nowhere", () => {
    using tree = makeTree(["x -> y", "y -> x", "up -> ../../etc/passwd", "root -> /", "lost -> nowhere/at/all"]);
    assert.deepEqual(followLinks(tree.path, ["x/deep/er"]), ["x", "y"]);
    assert.deepEqual(followLinks(tree.path, ["up"]), ["etc/passwd", "up"]);
    assert.deepEqual(followLinks(tree.path, ["lost"]), ["lost", "nowhere/at/all"]);
    assert.equal(followLinks(tree.path, ["root"]), undefined);
  });

  test("takes many links in little time", () => {
    const files = Array.from({ length: 3000 }, (_unused, index) => `f${index}`);
    using tree = makeTree([...files, ...files.map((name) => `l${name} -> ${name}`)]);
    const started = process.cpuUsage();
    assert.equal(followLinks(tree.path, ["l*", "f*"])?.length, 3002);
    assert.ok(process.cpuUsage(started).user < 5e6);
  });
});
