import assert from "node:assert/strict";
import { test } from "node:test";
import { ownBytes } from "./own-bytes.ts";

test("ownBytes() leaves out what lies around a view, and copies nothing else", () => {
  const whole = Uint8Array.of(1, 2, 3, 4);
  assert.equal(ownBytes(whole), whole);
  const own = ownBytes(whole.subarray(1, 3));
  assert.deepEqual(own, Uint8Array.of(2, 3));
  assert.equal(own.buffer.byteLength, 2);
  assert.equal(ownBytes(Buffer.from("pooled")).buffer.byteLength, 6);
});
