import assert from "node:assert/strict";
import { chmodSync, chownSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { suite, test } from "node:test";
import type { Digest } from "@buildkit-ts/oci";
import { makeTestRoot } from "../testing/test-cache.ts";
import { changeDigests } from "./change-digests.ts";
import { checksumTree } from "./checksum-request.ts";
import { type ContentListing, decodeDirectory, type ListedEntry } from "./content-listing.ts";
import { compareBytes, listContent } from "./list-content.ts";
import type { ChecksumQuery } from "./select-paths.ts";
import { TreeMemory } from "./tree-memory.ts";

const query = (path: string, more: Partial<ChecksumQuery> = {}): ChecksumQuery => ({
  path,
  followLinks: false,
  wildcard: false,
  includePatterns: [],
  excludePatterns: [],
  requiredPaths: [],
  ...more,
});

/** `path kind mode owner size link` of all entries. */
function flatten(listing: ContentListing, digest: Digest = listing.root, path = ""): string[] {
  return decodeDirectory(listing.directories.get(digest) ?? Buffer.from("[]")).flatMap((entry) => {
    const { name, kind, mode, uid, gid, sizeBytes, link = "" } = entry;
    const line = `${path}${name} ${kind} ${mode.toString(8)} ${uid}:${gid} ${sizeBytes} ${link}`.trimEnd();
    return kind === "directory" ? [line, ...flatten(listing, entry.digest, `${path}${name}/`)] : [line];
  });
}

function makeTree(root: string): void {
  mkdirSync(join(root, "src/deep"), { recursive: true });
  writeFileSync(join(root, "src/a.ts"), "a");
  writeFileSync(join(root, "src/b.md"), "bb");
  writeFileSync(join(root, "src/deep/c.ts"), "ccc");
  writeFileSync(join(root, "other"), "");
  symlinkSync("a.ts", join(root, "src/link"));
  chownSync(join(root, "src/a.ts"), 7, 8);
  for (const [path, mode] of [
    ["src", 0o755],
    ["src/deep", 0o700],
    ["src/a.ts", 0o600],
    ["src/b.md", 0o644],
    ["src/deep/c.ts", 0o644],
  ] as const) {
    chmodSync(join(root, path), mode);
  }
}

const list = (root: string, ...queries: ChecksumQuery[]): ContentListing =>
  listContent({ kind: "list", queries, known: undefined, root }, () => undefined);

suite("listContent()", () => {
  test("gives all that a path stands for, with attributes", () => {
    using root = makeTestRoot();
    makeTree(root.path);
    const listing = list(root.path, query("/src"));
    assert.equal(listing.files, 4);
    assert.deepEqual(flatten(listing), [
      "src directory 755 0:0 0",
      "src/a.ts file 600 7:8 1",
      "src/b.md file 644 0:0 2",
      "src/deep directory 700 0:0 0",
      "src/deep/c.ts file 644 0:0 3",
      "src/link symlink 777 0:0 0 a.ts",
    ]);
  });

  test("gives only what patterns select, and each path once", () => {
    using root = makeTestRoot();
    makeTree(root.path);
    const listing = list(
      root.path,
      query("/src/*.ts", { wildcard: true }),
      query("/src/a.ts"),
      query("/src", { includePatterns: ["deep/*"] }),
    );
    assert.deepEqual(
      flatten(listing).map((line) => line.split(" ")[0]),
      ["src", "src/a.ts", "src/deep", "src/deep/c.ts"],
    );
  });

  test("has equal directories under equal digests", () => {
    using root = makeTestRoot();
    makeTree(root.path);
    const before = list(root.path, query("/"));
    writeFileSync(join(root.path, "other"), "changed");
    const after = list(root.path, query("/"));
    assert.notEqual(before.root, after.root);
    const added = [...after.directories.keys()].filter((digest) => !before.directories.has(digest));
    assert.deepEqual(added, [after.root]);
  });
});

test("listContent() of a tree that is remembered shows what has changed since", () => {
  using root = makeTestRoot();
  makeTree(root.path);
  const memory = new TreeMemory();
  const top = query("/");
  const answer = checksumTree({ query: top, known: undefined, root: root.path }, () => undefined, memory);
  let known = answer.kind === "done" ? answer.known : undefined;
  const remembered = (): ContentListing =>
    listContent({ kind: "list", queries: [top], known, root: root.path }, () => undefined, memory);
  const entryOf = (listing: ContentListing, name: string): ListedEntry => {
    const entries = [...listing.directories.values()].flatMap((bytes) => decodeDirectory(bytes));
    return entries.find((entry) => entry.name === name) ?? assert.fail(name);
  };
  assert.deepEqual(remembered(), list(root.path, top));
  chmodSync(join(root.path, "src/a.ts"), 0o640);
  writeFileSync(join(root.path, "src/deep/c.ts"), "longer");
  const fresh = list(root.path, top);
  const paths = ["src/a.ts", "src/deep/c.ts"];
  const entries = paths.map((path) => {
    const { digest } = entryOf(fresh, basename(path));
    return { path, kind: "file", digest } as const;
  });
  assert.ok(known);
  known = changeDigests({ kind: "change", known, changes: { gone: paths, entries, links: [] } }, memory);
  assert.deepEqual(flatten(remembered()), flatten(fresh));
  assert.equal(entryOf(remembered(), "a.ts").digest, entryOf(fresh, "a.ts").digest);
});

suite("compareBytes()", () => {
  test("tells whether a file with other attributes has the bytes that it had", () => {
    using root = makeTestRoot();
    makeTree(root.path);
    const { root: top, directories } = list(root.path, query("/src/b.md"));
    const [src] = decodeDirectory(directories.get(top) ?? assert.fail());
    const [before] = decodeDirectory(directories.get(src?.digest ?? assert.fail()) ?? assert.fail());
    assert.ok(before !== undefined);
    chmodSync(join(root.path, "src/b.md"), 0o600);
    const { mode, uid, gid, digest } = before;
    const file = { path: "/src/b.md", mode, uid, gid, digest };
    const asked = [file, { ...file, path: "/src/a.ts" }, { ...file, path: "/src/absent" }, { ...file, path: "/src" }];
    const ask = (): readonly boolean[] =>
      compareBytes({ kind: "bytes", files: asked, root: root.path }, () => undefined);
    assert.deepEqual(ask(), [true, false, false, false]);
    writeFileSync(join(root.path, "src/b.md"), "xx");
    assert.equal(lstatSync(join(root.path, "src/b.md")).size, 2);
    assert.equal(ask()[0], false);
  });
});

test("listContent() takes as long for a tree that is deep as for one that is wide", () => {
  using root = makeTestRoot();
  const directory = "d/".repeat(700);
  mkdirSync(join(root.path, directory), { recursive: true });
  const started = process.cpuUsage();
  const { directories } = listContent(
    { kind: "list", queries: [query("/")], known: undefined, root: root.path },
    () => undefined,
  );
  assert.equal(directories.size, 701);
  // It took minutes to begin at the root for each.
  assert.ok(process.cpuUsage(started).user < 10e6);
});
