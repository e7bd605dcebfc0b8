import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContentEntry } from "@buildkit-ts/cache";
import { digestOf } from "@buildkit-ts/oci";
import { mergeDigests } from "./merge-digests.ts";

const digest = digestOf("x");
const file = (path: string | Uint8Array): ContentEntry => ({ path, kind: "file", digest });
const directory = (path: string): ContentEntry => ({ path, kind: "directory", digest });

test("mergeDigests() keeps what still holds and forgets what was in a directory that is gone", () => {
  const previous = [
    directory("a"),
    file(Buffer.from("a/b")),
    directory("a-c"),
    file("a-c/d"),
    directory("e"),
    file("e/f"),
  ];
  const merged = mergeDigests(previous, {
    changes: [
      { kind: "delete", path: "a" },
      { kind: "modify", path: "e" },
    ],
    digests: [{ kind: "symlink", path: "e", digest, linkName: "a-c" }],
  });
  assert.deepEqual(merged, [directory("a-c"), file("a-c/d"), { kind: "symlink", path: "e", digest, linkname: "a-c" }]);
});

test("mergeDigests() gives a hard link its file's digest, and gives up where that is unknown", () => {
  const link = { kind: "hardLink", path: "link", linkName: "file" } as const;
  const other = digestOf("other");
  const changed = { kind: "file", path: "file", digest: other } as const;
  assert.deepEqual(
    mergeDigests([file("file"), file("link")], { changes: [], digests: [link, changed] })?.map((entry) => entry.digest),
    [other, other],
  );
  assert.equal(mergeDigests([], { changes: [], digests: [link] }), undefined);
  assert.equal(mergeDigests(undefined, { changes: [], digests: [] }), undefined);
});
