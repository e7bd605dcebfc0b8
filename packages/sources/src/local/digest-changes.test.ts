import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { digestChanges } from "./digest-changes.ts";

const digest = digestOf("x");

test("digestChanges() says what is gone or replaced, what is there now, and what is a second name", () => {
  const changes = digestChanges({
    changes: [
      { kind: "delete", path: "a" },
      { kind: "modify", path: "e" },
    ],
    digests: [
      { kind: "directory", path: "d", digest },
      { kind: "symlink", path: "e", digest, linkName: "\udcff" },
      { kind: "hardLink", path: "f", linkName: "d/g" },
    ],
  });
  assert.deepEqual(changes, {
    gone: ["a", "e", "f"],
    entries: [
      { kind: "directory", path: "d", digest },
      { kind: "symlink", path: "e", digest, linkname: Buffer.from([0xff]) },
    ],
    links: [{ path: "f", target: "d/g" }],
  });
  assert.equal(digestChanges({ changes: [], digests: undefined }), undefined);
});
