import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { decompress } from "./decompress.ts";
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

suite("decompress()", () => {
  test("is done with a chunk when it asks for the next: a source may read all into the same memory", async () => {
    const { signal } = new AbortController();
    const bytes = randomBytes(3 << 20);
    for (const packed of [gzipSync(bytes, { level: 0 }), zstdCompressSync(bytes), bytes]) {
      const block = Buffer.allocUnsafeSlow(100_000);
      const source = async function* (): AsyncGenerator<Uint8Array, void> {
        for (let at = 0; at < packed.length; at += block.length) {
          yield block.subarray(0, packed.copy(block, 0, at));
          block.fill(0xff);
        }
      };
      const parts: Buffer[] = [];
      for await (const part of decompress(source(), { signal })) parts.push(Buffer.from(part));
      assert.ok(Buffer.concat(parts).equals(bytes));
    }
  });

  test("ends its source when nobody reads on", async () => {
    const { signal } = new AbortController();
    const packed = gzipSync(randomBytes(4 << 20), { level: 0 });
    let isEnded = false;
    const source = async function* (): AsyncGenerator<Uint8Array, void> {
      try {
        for (let at = 0; at < packed.length; at += 1 << 16) yield packed.subarray(at, at + (1 << 16));
      } finally {
        isEnded = true;
      }
    };
    for await (const _part of decompress(source(), { signal })) break;
    assert.equal(isEnded, true);
  });
});
