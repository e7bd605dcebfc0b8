import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { decompress } from "./decompress.ts";
import { decompressBlocks } from "./decompress-blocks.ts";

const { signal } = new AbortController();
const text = Buffer.from(Array.from({ length: 90_000 }, (_, at) => `line ${(at * at) % 977}\n`).join(""));
const bytes = Buffer.concat([text, randomBytes(700_000), text]);

/** Pieces in one memory, as those of a file that is read into it again and again. */
function* pieces(whole: Uint8Array, size: number): Generator<Uint8Array, void> {
  const memory = Buffer.alloc(size);
  for (let at = 0; at < whole.length; at += size) {
    const piece = whole.subarray(at, at + size);
    memory.set(piece);
    yield memory.subarray(0, piece.length);
  }
}

function digestOfBlocks(packed: Uint8Array, size: number): string {
  const hash = createHash("sha256");
  for (const block of decompressBlocks(pieces(packed, size))) hash.update(block);
  return hash.digest("hex");
}

async function digestOfStream(packed: Uint8Array, size: number): Promise<string> {
  const hash = createHash("sha256");
  const source = (async function* () {
    for (let at = 0; at < packed.length; at += size) yield packed.subarray(at, at + size);
  })();
  for await (const chunk of decompress(source, { signal })) hash.update(chunk);
  return hash.digest("hex");
}

async function outcome(work: () => string | Promise<string>): Promise<string> {
  try {
    return await work();
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
}

test("decompressBlocks() gives what decompress() gives, and fails as it does", async () => {
  for (const pack of [gzipSync, zstdCompressSync, (plain: Buffer) => plain]) {
    const packed = pack(bytes);
    const half = Math.floor(packed.length / 2);
    const damaged = Buffer.concat([packed.subarray(0, half), packed.subarray(half + 9)]);
    const inputs = {
      whole: packed,
      empty: pack(Buffer.alloc(0)),
      members: Buffer.concat([packed, pack(Buffer.from("more"))]),
      padded: Buffer.concat([packed, Buffer.alloc(1000)]),
      "with garbage": Buffer.concat([packed, Buffer.alloc(300_000, "garbage")]),
      cut: packed.subarray(0, half),
      "cut at its end": packed.subarray(0, -1),
      damaged,
    };
    for (const [name, input] of Object.entries(inputs)) {
      for (const size of [100_003, 4 << 20]) {
        const expected = await outcome(() => digestOfStream(input, size));
        assert.equal(await outcome(() => digestOfBlocks(input, size)), expected, `${name} in ${size}`);
      }
    }
  }
});

test("decompressBlocks() gives what decompress() gives for any bytes in small pieces", async () => {
  const magic = fc.constantFrom(
    [0x1f, 0x8b, 8],
    [0x28, 0xb5, 0x2f, 0xfd],
    [0x5a, 0x2a, 0x4d, 0x18],
    [0x42, 0x5a, 0x68],
  );
  const anything = fc
    .tuple(magic, fc.uint8Array({ maxLength: 300 }))
    .map(([head, rest]) => Buffer.from([...head, ...rest]));
  const streams = fc
    .uint8Array({ maxLength: 300 })
    .chain((plain) => fc.constantFrom(gzipSync(plain), zstdCompressSync(plain)));
  const joined = fc.array(fc.oneof(anything, streams), { maxLength: 3 }).map((parts) => Buffer.concat(parts));
  await fc.assert(
    fc.asyncProperty(joined, fc.integer({ min: 1, max: 400 }), async (input, size) => {
      const expected = await outcome(() => digestOfStream(input, size));
      assert.equal(await outcome(() => digestOfBlocks(input, size)), expected);
    }),
  );
});

test("decompressBlocks() gives small pieces of one memory, however much they become, and closes its source", () => {
  for (const pack of [gzipSync, zstdCompressSync]) {
    const packed = pack(Buffer.alloc(64 << 20));
    const memories = new Set<ArrayBufferLike>();
    let total = 0;
    for (const block of decompressBlocks([packed])) {
      assert.ok(block.length <= 256 << 10, `${block.length} bytes at once`);
      memories.add(block.buffer);
      total += block.length;
    }
    assert.deepEqual([total, memories.size], [64 << 20, 1]);
    let isClosed = false;
    const source = (function* () {
      try {
        for (;;) yield packed;
      } finally {
        isClosed = true;
      }
    })();
    for (const _block of decompressBlocks(source)) break;
    assert.ok(isClosed);
  }
});
