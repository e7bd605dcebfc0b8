import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ContentDigest, headerDigest } from "./content-digest.ts";

const sha256 = (...parts: readonly (string | Uint8Array)[]): string =>
  `sha256:${createHash("sha256")
    .update(Buffer.concat(parts.map((part) => Buffer.from(part as string))))
    .digest("hex")}`;

test("ContentDigest is that of header and bytes, however they come", () => {
  for (const header of ["attributes", "größe", Buffer.from([0xff, 0x00])]) {
    for (const size of [0, 1, 4096, 64 << 10, 70_000]) {
      const bytes = Buffer.alloc(size, "0123456789");
      for (const pieces of [1, 2, 3]) {
        for (const announced of [size, 0]) {
          const digest = new ContentDigest(header, announced);
          const length = Math.ceil(size / pieces);
          for (let at = 0; at < size; at += length) digest.update(bytes.subarray(at, at + length));
          assert.equal(digest.finish(), sha256(header, bytes));
        }
      }
    }
    assert.equal(headerDigest(header), sha256(header));
  }
});

test("ContentDigest refuses bytes beyond what was announced", () => {
  const digest = new ContentDigest("attributes", 2);
  digest.update(Buffer.from("ab"));
  assert.throws(() => digest.update(Buffer.from("c")), /more bytes than were announced/);
});
