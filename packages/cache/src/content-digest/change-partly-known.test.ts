import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno } from "@buildkit-ts/sys";
import fc from "fast-check";
import { makeTestRoot } from "../testing/test-cache.ts";
import { changeDigests } from "./change-digests.ts";
import { checksumTree } from "./checksum-request.ts";
import type { ContentEntry } from "./content-entry.ts";
import { DigestTree } from "./digest-tree.ts";
import { FileTreeSource } from "./file-tree-source.ts";
import { encodeTree } from "./tree-codec.ts";
import { TreeMemory } from "./tree-memory.ts";

/** What all links lead to. */
const target = "absent";
const never = (): void => undefined;
const kindOf = (path: string): ContentEntry["kind"] => {
  const stat = lstatSync(path);
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : "file";
};

/** A tree on the disk, and what is known of it: nothing, until something is asked. */
class KnownTree {
  readonly #root: string;
  #known = encodeTree(new DigestTree());

  constructor(root: string) {
    this.#root = root;
  }

  /** The checksum of a path, and what it would be of a tree of which nothing is known. */
  checksums(path: string): readonly [known: string, read: string] {
    return [this.#ask(path, this.#known), this.#ask(path, undefined)];
  }

  #ask(path: string, known: Uint8Array | undefined): string {
    const options = { wildcard: false, includePatterns: [], excludePatterns: [], requiredPaths: [] };
    const query = { path, followLinks: false, ...options };
    try {
      const answer = checksumTree({ query, known, root: this.#root }, never);
      assert.ok(answer.kind === "done");
      if (known !== undefined) this.#known = answer.known ?? known;
      return answer.digest;
    } catch (error) {
      if (hasErrno(error, "ENOTDIR") || (error instanceof BuildError && error.code === "unknown")) return "not found";
      throw error;
    }
  }

  /** Changes the tree, and tells what is gone and what is there, as a sync would. */
  change(
    edit: (root: string) => void,
    order: (entries: ContentEntry[]) => ContentEntry[] = (entries) => entries,
  ): void {
    const before = this.#list();
    edit(this.#root);
    const after = this.#list();
    const isNew = ({ path, kind, digest }: ContentEntry): boolean =>
      before.get(String(path))?.digest !== digest || before.get(String(path))?.kind !== kind;
    const entries = order([...after.values()].filter(isNew));
    const gone = [
      ...[...before.keys()].filter((path) => !after.has(path)),
      ...entries.filter(({ kind }) => kind !== "directory").map(({ path }) => path),
    ];
    const changed = changeDigests(
      { kind: "change", known: this.#known, changes: { gone, entries, links: [] } },
      new TreeMemory(),
    );
    assert.ok(changed);
    this.#known = changed;
  }

  #list(): Map<string, ContentEntry> {
    using source = new FileTreeSource(this.#root, never);
    const paths = readdirSync(this.#root, { recursive: true, encoding: "utf8" });
    return new Map(
      paths.map((path) => {
        const kind = kindOf(join(this.#root, path));
        return [
          path,
          { path, kind, digest: source.digest(`/${path}`), ...(kind === "symlink" && { linkname: target }) },
        ];
      }),
    );
  }
}

function assertKnown(tree: KnownTree, ...paths: string[]): void {
  for (const path of paths) {
    const [known, read] = tree.checksums(path);
    assert.equal(known, read, path);
  }
}

/** A tree of which one directory is known, and nothing of what is beside it. */
function makePartlyKnown(root: string): KnownTree {
  mkdirSync(join(root, "sub/deep"), { recursive: true });
  mkdirSync(join(root, "other"));
  for (const name of ["sub/deep/e", "sub/f", "other/g"]) writeFileSync(join(root, name), name);
  const tree = new KnownTree(root);
  assertKnown(tree, "/sub/deep/e");
  return tree;
}

test("a directory of which only some is known is read when it was changed, and so is one of which nothing was", () => {
  for (const directory of ["sub", "other"]) {
    using root = makeTestRoot();
    const tree = makePartlyKnown(root.path);
    tree.change((path) => chmodSync(join(path, directory), 0o700));
    assertKnown(tree, `/${directory}`);
    tree.change((path) => rmSync(join(path, directory), { recursive: true }));
    assertKnown(tree, `/${directory}`, "/");
  }
});

test("a directory of which all that was known is gone is read when it was changed", () => {
  using root = makeTestRoot();
  const tree = makePartlyKnown(root.path);
  tree.change((path) => {
    rmSync(join(path, "sub/deep"), { recursive: true });
    chmodSync(join(path, "sub"), 0o700);
  });
  assertKnown(tree, "/sub");
});

test("what is known of a tree is never wrong, whatever was asked and changed in it before, and in whatever order it is told", () => {
  const path = fc
    .array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 3 })
    .map((names) => `/${names.join("/")}`);
  const edit = fc.record({
    path,
    kind: fc.constantFrom("file", "directory", "link", "nothing", "mode"),
    salt: fc.nat(3),
  });
  const step = fc.record({
    asked: fc.array(path, { maxLength: 2 }),
    edits: fc.array(edit, { maxLength: 3 }),
    turn: fc.nat(5),
  });
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 8 }), fc.array(step, { maxLength: 4 }), path, (first, steps, last) => {
      using root = makeTestRoot();
      for (const each of first) apply(root.path, each);
      const tree = new KnownTree(root.path);
      for (const { asked, edits, turn } of steps) {
        assertKnown(tree, ...asked);
        const order = (entries: ContentEntry[]): ContentEntry[] =>
          [...entries.slice(turn), ...entries.slice(0, turn)].reverse();
        tree.change((directory) => edits.forEach((each) => apply(directory, each)), order);
      }
      assertKnown(tree, last, "/");
    }),
    { numRuns: 300 },
  );
});

/** Replaces what is there; a parent that is no directory too. */
function apply(
  root: string,
  { path, kind, salt }: { readonly path: string; readonly kind: string; readonly salt: number },
): void {
  const place = join(root, path);
  if (kind === "mode") {
    if (existsSync(place)) chmodSync(place, 0o700 + salt);
    return;
  }
  ensureDirectory(root, dirname(place));
  rmSync(place, { recursive: true, force: true });
  if (kind === "directory") mkdirSync(place);
  else if (kind === "link") symlinkSync(target, place);
  else if (kind === "file") writeFileSync(place, String(salt));
}

function ensureDirectory(root: string, path: string): void {
  if (path === root) return;
  ensureDirectory(root, dirname(path));
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  rmSync(path, { force: true });
  mkdirSync(path);
}
