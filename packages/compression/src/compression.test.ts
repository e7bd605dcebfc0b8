import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { BlockCompressor } from "./block-compressor.ts";
import { type CompressionSetting, compress, createCompressor } from "./compressor.ts";
import { decompress } from "./decompress.ts";
import { detectCompression } from "./detect-compression.ts";
import { GzipBlocks } from "./gzip-blocks.ts";
import { ZstdBlocks } from "./zstd-blocks.ts";

const { signal } = new AbortController();

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

function sample(length: number): Buffer {
  const words = Array.from({ length: 500 }, (_, i) =>
    createHash("sha256")
      .update(String(i))
      .digest("base64")
      .slice(0, (i % 11) + 2),
  );
  let state = 1;
  const parts: string[] = [];
  for (let size = 0; size < length; size += parts.at(-1)?.length ?? 0) {
    state = (state * 48271) % 2147483647;
    parts.push(words[state % words.length] ?? "");
  }
  return Buffer.from(parts.join("")).subarray(0, length);
}

const settings: CompressionSetting[] = [
  { type: "gzip" },
  { type: "gzip", level: 0 },
  { type: "gzip", level: 9 },
  { type: "zstd" },
  { type: "zstd", level: 9 },
  { type: "uncompressed" },
];

test("decompress gives back what compress was given", async () => {
  const lengths = [0, 1, 100, 32 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2_500_000];
  for (const setting of settings) {
    for (const length of lengths) {
      const bytes = sample(length);
      const packed = await collect(compress(chunks(bytes, 99_999), setting, { signal }));
      assert.deepEqual(
        await collect(decompress(chunks(packed, 70_001), { signal })),
        bytes,
        JSON.stringify([setting, length]),
      );
    }
  }
});

test("the output does not depend on how the input was cut", async () => {
  const bytes = sample(2_500_000);
  for (const setting of settings) {
    const whole = await collect(compress(chunks(bytes, bytes.length), setting, { signal }));
    for (const size of [1000, 65_536, 1 << 20, 1_300_000]) {
      assert.deepEqual(await collect(compress(chunks(bytes, size), setting, { signal })), whole);
    }
  }
});

test("the output does not depend on how many blocks are compressed at a time", async () => {
  const bytes = sample(9_000_000);
  for (const createFormat of [() => new GzipBlocks(6), () => new ZstdBlocks(3)]) {
    const outputs: Buffer[] = [];
    for (const maxJobs of [1, 7]) {
      const parts: Uint8Array[] = [];
      using compressor = new BlockCompressor(createFormat(), {
        sink: (part) => void parts.push(Buffer.from(part)),
        maxJobs,
      });
      await compressor.write(bytes);
      await compressor.finish();
      outputs.push(Buffer.concat(parts));
    }
    assert.deepEqual(outputs[0], outputs[1]);
  }
});

test("parallel gzip is one member that other programs read and is hardly larger than a serial one", async () => {
  const bytes = sample(5_000_000);
  const packed = await collect(compress(chunks(bytes, 1 << 20), { type: "gzip" }, { signal }));
  assert.deepEqual(gunzipSync(packed), bytes);
  const { stdout, status } = spawnSync("gzip", ["-dc"], { input: packed, maxBuffer: 1 << 25 });
  assert.equal(status, 0);
  assert.deepEqual(stdout, bytes);
  assert.ok(packed.length < gzipSync(bytes).length * 1.002);
});

test("zstd's frame can be read by other decoders with small windows", async () => {
  const bytes = Buffer.concat([sample(1_000_000), randomBytes(8_000_000)]);
  for (const level of [1, 18]) {
    const packed = await collect(compress(chunks(bytes, 1 << 20), { type: "zstd", level }, { signal }));
    assert.deepEqual(zstdDecompressSync(packed), bytes);
  }
});

test("decompress reads several members and frames as one stream", async () => {
  const [a, b] = [Buffer.from("first"), Buffer.from("second")];
  const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 1]);
  for (const packed of [
    Buffer.concat([gzipSync(a), gzipSync(b)]),
    Buffer.concat([zstdCompressSync(a), zstdCompressSync(b)]),
    Buffer.concat([skippable, zstdCompressSync(a), skippable, zstdCompressSync(b)]),
  ]) {
    for (const size of [1, 7, packed.length]) {
      assert.equal((await collect(decompress(chunks(packed, size), { signal }))).toString(), "firstsecond");
    }
  }
});

test("decompress refuses what is cut off or damaged", async () => {
  const bytes = sample(100_000);
  for (const packed of [gzipSync(bytes), zstdCompressSync(bytes, { params: {} })]) {
    for (const bad of [
      packed.subarray(0, -3),
      packed.subarray(0, 20),
      Buffer.concat([packed.subarray(0, 200), packed.subarray(210)]),
    ]) {
      await assert.rejects(collect(decompress(chunks(bad, 5000), { signal })), { code: "invalid_argument" });
    }
  }
});

test("decompress ends on any bytes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 500 }),
      fc.constantFrom([0x1f, 0x8b, 8], [0x28, 0xb5, 0x2f, 0xfd], []),
      async (bytes, magic) => {
        try {
          await collect(decompress(chunks(Buffer.concat([Buffer.from(magic), bytes]), 100), { signal }));
        } catch (error) {
          assert.match(String((error as { code?: string }).code), /invalid_argument|unimplemented/);
        }
      },
    ),
  );
});

test("a failing source is reported as it is, and a failing sink stops the compressor", async () => {
  async function* failing(): AsyncGenerator<Uint8Array, void> {
    yield gzipSync(sample(1000)).subarray(0, 100);
    throw new Error("the network is down");
  }
  await assert.rejects(collect(decompress(failing(), { signal })), /the network is down/);
  for (const type of ["gzip", "zstd"] as const) {
    using compressor = createCompressor({ type }, () => Promise.reject(new Error("the disk is full")));
    await assert.rejects(async () => {
      for (let i = 0; i < 20; i += 1) await compressor.write(randomBytes(1 << 20));
      await compressor.finish();
    }, /the disk is full/);
  }
});

test("createCompressor refuses levels that do not exist", () => {
  for (const setting of [
    { type: "gzip", level: 10 },
    { type: "zstd", level: 23 },
    { type: "gzip", level: 1.5 },
  ] as const) {
    assert.throws(() => createCompressor(setting, () => undefined), { code: "invalid_argument" });
  }
});

test("detectCompression knows bzip2 and xz", () => {
  assert.equal(detectCompression(Buffer.from("BZh91AY")), "bzip2");
  assert.equal(detectCompression(Buffer.from("\xfd7zXZ\0", "latin1")), "xz");
  assert.equal(detectCompression(Buffer.from("B")), "uncompressed");
});

test("decompress takes and gives small pieces, however much they become, and only as they are wanted", async () => {
  const zeros = Buffer.alloc(64 << 20);
  const noise = randomBytes(32 << 20);
  for (const [name, pack] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const) {
    let largest = 0;
    let total = 0;
    for await (const chunk of decompress(chunks(pack(zeros), 1 << 20), { signal })) {
      largest = Math.max(largest, chunk.length);
      total += chunk.length;
    }
    assert.equal(total, zeros.length, name);
    assert.ok(largest <= 256 << 10, `${name} gives ${largest} bytes at once`);
    let taken = 0;
    const packed = pack(noise);
    const counted = (async function* () {
      for await (const piece of chunks(packed, 1 << 16)) {
        taken += piece.length;
        yield piece;
      }
    })();
    const output = decompress(counted, { signal });
    await output.next();
    // Whoever asks for no more lets the source rest, however long.
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(taken < 4 << 20, `${name} took ${taken} bytes for one piece`);
    await output.return();
  }
});
