import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { decompress } from "./decompress.ts";
import { freeBuffer, freeLastOf } from "./free-buffer.ts";

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
  test("frees the chunks that it was given away, once they are decoded", async () => {
    const { signal } = new AbortController();
    const bytes = randomBytes(3 << 20);
    const packed = gzipSync(bytes, { level: 0 });
    const chunks = [0, 1 << 20, 2 << 20, 3 << 20].map((at) => Uint8Array.from(packed.subarray(at, at + (1 << 20))));
    const source = async function* (): AsyncGenerator<Uint8Array, void> {
      yield* chunks;
    };
    const parts: Buffer[] = [];
    for await (const part of decompress(source(), { signal, freesInput: true })) {
      parts.push(Buffer.from(part));
      freeLastOf(part);
    }
    assert.ok(Buffer.concat(parts).equals(bytes));
    assert.deepEqual(
      chunks.slice(0, 3).map(({ length }) => length),
      [0, 0, 0],
    );
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
