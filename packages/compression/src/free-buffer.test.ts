import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { freeBuffer } from "./free-buffer.ts";

suite("freeBuffer()", () => {
  test("takes the memory of a large buffer away, once", () => {
    const large = Buffer.allocUnsafeSlow(1 << 20);
    freeBuffer(large.subarray(5, 10));
    freeBuffer(large);
    assert.equal(large.length, 0);
  });

  test("leaves alone what may share its memory with others", () => {
    const [mine, other] = [Buffer.from("mine"), Buffer.from("another one's")];
    freeBuffer(mine);
    assert.equal(other.toString(), "another one's");
    assert.equal(mine.toString(), "mine");
  });
});
