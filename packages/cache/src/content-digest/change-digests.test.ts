import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import fc from "fast-check";
import { byteText } from "./byte-text.ts";
import { changeDigests, type DigestChanges } from "./change-digests.ts";
import { checksumTree } from "./checksum-request.ts";
import type { ContentEntry } from "./content-entry.ts";
import { DigestTree } from "./digest-tree.ts";
import { decodeTree, encodeTree } from "./tree-codec.ts";
import { TreeMemory } from "./tree-memory.ts";

const digest = digestOf("x");
const other = digestOf("other");
const file = (path: string | Uint8Array, of = digest): ContentEntry => ({ path, kind: "file", digest: of });
const directory = (path: string): ContentEntry => ({ path, kind: "directory", digest });
const emptyRoot = new DigestTree();
emptyRoot.root.kind = "directory";
emptyRoot.root.header = digest;
const nothing = encodeTree(emptyRoot);

function change(known: Uint8Array, changes: Partial<DigestChanges>, memory = new TreeMemory()): Uint8Array | undefined {
  return changeDigests({ kind: "change", known, changes: { gone: [], entries: [], links: [], ...changes } }, memory);
}

function make(...entries: ContentEntry[]): Uint8Array {
  const made = change(nothing, { entries });
  assert.ok(made);
  return made;
}

/** What a tree says, the checksum of the whole included. */
function describe(known: Uint8Array | undefined, memory = new TreeMemory()): unknown {
  assert.ok(known);
  const query = {
    path: "/",
    followLinks: true,
    wildcard: false,
    includePatterns: [],
    excludePatterns: [],
    requiredPaths: [],
  };
  const answer = checksumTree({ query, known, root: undefined }, () => undefined, memory);
  assert.equal(answer.kind, "done");
  return answer.kind === "done" ? [answer.digest, answer.known ?? known] : undefined;
}

test("changeDigests() keeps what still holds and forgets what was in a directory that is gone", () => {
  const previous = make(
    directory("a"),
    file(Buffer.from("a/b")),
    directory("a-c"),
    file("a-c/d"),
    directory("e"),
    file("e/f"),
  );
  const link: ContentEntry = { path: "e", kind: "symlink", digest, linkname: "a-c" };
  const changed = change(previous, { gone: ["a", "e"], entries: [link] });
  assert.deepEqual(describe(changed), describe(make(directory("a-c"), file("a-c/d"), link)));
});

test("changeDigests() gives a hard link its file's digest, and gives up where that is unknown", () => {
  const previous = make(file("file"), file("link"));
  const links = [
    { path: "link", target: "file" },
    { path: "second", target: "link" },
  ];
  const changed = change(previous, { gone: ["file", "link"], entries: [file("file", other)], links });
  assert.deepEqual(describe(changed), describe(make(file("file", other), file("link", other), file("second", other))));
  assert.equal(change(nothing, { links: [{ path: "link", target: "file" }] }), undefined);
});

test("changeDigests() of a tree that is remembered is the same as of one that is decoded", () => {
  const name = fc.constantFrom("a", "b", "c", "é");
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
  const edit = fc.record({ path, isGone: fc.boolean(), digest: fc.constantFrom(digest, other) });
  fc.assert(
    fc.property(fc.array(fc.tuple(edit, fc.boolean()), { maxLength: 20 }), (edits) => {
      const memory = new TreeMemory();
      let [remembered, decoded] = [nothing, nothing];
      const files = new Map<string, typeof digest>();
      for (const [{ path: changed, isGone, digest: of }, isAsked] of edits) {
        const parents = changed
          .split("/")
          .map((_, index, names) => names.slice(0, index).join("/"))
          .slice(1);
        for (const known of files.keys())
          if (known === changed || known.startsWith(`${changed}/`) || parents.includes(known)) files.delete(known);
        if (!isGone) files.set(changed, of);
        const changes = {
          gone: [
            changed,
            ...parents.filter((parent) => decodeTree(decoded).find(`/${byteText(parent)}`)?.kind === "file"),
          ],
          entries: isGone ? [] : [...parents.map(directory), file(changed, of)],
        };
        remembered = change(remembered, changes, memory) ?? nothing;
        decoded = change(decoded, changes) ?? nothing;
        if (isAsked) assert.deepEqual(describe(remembered, memory), describe(decoded));
      }
      for (const [known, of] of files) assert.equal(decodeTree(remembered).find(`/${byteText(known)}`)?.digest, of);
      assert.deepEqual(describe(remembered, memory), describe(decoded));
    }),
  );
});
